"""Absorption, on words whose verdict follows from the definition, one clause of it at a time.

The write vectors have uneven lengths and the probe is not of norm 1: a cosine in the place of a projection, or a
projection in the place of a cosine, gives another verdict.
"""

import math

import pytest
import torch
from sparse_codes import compressed

from microtome.core.errors import WrongUse
from microtome.evidence import ratio_of_sums
from microtome.metrics.absorption import AbsorptionFraction, AbsorptionFull
from unchecked import unchecked

PROBE = torch.tensor([[0.0, 5.0]])  # along the second axis; what lies along the first is something else
WRITES = torch.tensor(
    [
        [0.0, 1.0],  # 0: the main unit
        [0.0, 2.0],  # 1: along the probe, and long
        [1.0, 0.5],  # 2: partly along it, cosine 0.447
        [1.0, 0.02],  # 3: cosine 0.02
        [1.0, 0.06],  # 4: cosine 0.06
        [0.0, -1.0],  # 5: against it
        [0.0, 0.3],  # 6: along it, and short
    ]
)
MAIN = [torch.tensor([0])]


def verdict(metric, projection, activations):
    """One token whose activation has this projection, with these active units."""
    codes = torch.zeros(1, len(WRITES))
    for unit, value in activations.items():
        codes[0, unit] = value
    accumulator = metric(WRITES, PROBE, MAIN)
    accumulator.add(torch.tensor([[7.0, projection]]), *compressed(codes), classes=torch.tensor([0]))
    return accumulator.value()


@pytest.mark.parametrize(
    "projection, activations, expected",
    [
        (1.0, {1: 0.5}, 1.0),  # gives all of it
        (1.0, {1: 0.2}, 1.0),  # 0.4 of it, just enough
        (1.0, {1: 0.19}, 0.0),  # 0.38 of it
        (1.0, {0: 0.001, 1: 0.5}, 0.0),  # the main unit still fires
        (-1.0, {1: 0.5}, 0.0),  # the probe itself is silent
        (0.0, {1: 0.5}, 0.0),
        (0.1, {3: 9.0}, 0.0),  # 0.18 of 0.1, but hardly along the probe
        (0.1, {4: 9.0}, 1.0),
        (1.0, {5: 0.5}, 0.0),  # points the other way
        (1.0, {1: 0.15, 2: 0.6, 6: 0.9}, 0.0),  # 0.3 + 0.3 + 0.27: no one of them is enough
        (1.0, {}, 0.0),
        (1.0, {3: 90.0, 1: 0.5}, 0.0),  # the largest projection, 1.8, is that of a unit hardly along the probe
    ],
)
def test_full_absorption_clause_by_clause(projection, activations, expected):
    assert verdict(AbsorptionFull, projection, activations) == expected


@pytest.mark.parametrize(
    "projection, activations, expected",
    [
        (1.0, {1: 0.5}, 1.0),  # no main unit, another gives all
        (1.0, {1: 0.15, 2: 0.6}, 1.0),  # no main unit, two give 0.6 together
        (1.0, {1: 0.15}, 0.0),  # 0.3 is too little
        (1.0, {0: 0.5, 1: 0.25}, 0.5),  # shared evenly
        (1.0, {0: 0.6, 1: 0.45}, 0.4),  # they give 0.9, but only 0.4 was missing
        (1.0, {0: 1.0, 1: 0.5}, 0.0),  # the main unit gives all
        (1.0, {0: 1.5, 1: 0.5}, 0.0),  # and more than all
        (1.0, {0: 0.5, 4: 10.0}, 0.0),  # 0.6, by a unit with a cosine under 0.1
        (-1.0, {1: 0.5}, 0.0),
        (1.0, {0: 0.5, 5: 3.0}, 0.0),  # what points away absorbs nothing
        (1.0, {0: 0.5, 1: 0.25, 2: -9.0}, 0.5),  # nor does it take away
        (1.0, {0: -0.2, 1: 0.5}, 1.0),  # a main unit against the probe
        (2.0, {0: 0.5, 1: 0.15, 2: 0.6, 6: 1.0}, 0.9 / 1.4),  # 0.3 + 0.3 + 0.3
        (1.0, {}, 0.0),
    ],
)
def test_the_fraction_clause_by_clause(projection, activations, expected):
    assert verdict(AbsorptionFraction, projection, activations) == pytest.approx(expected, rel=1e-6)


def test_no_more_than_three_absorb():
    writes = torch.tensor([[0.0, 1.0]] * 6)
    metric = AbsorptionFraction(writes, PROBE, MAIN)
    metric.add(torch.tensor([[0.0, 1.0]]), *compressed([[0.2, 0.15, 0.2, 0.1, 0.15, 0.12]]), torch.tensor([0]))
    assert metric.value() == pytest.approx(0.5 / (0.5 + 0.2), rel=1e-6)


@pytest.mark.parametrize("metric", [AbsorptionFull, AbsorptionFraction], ids=lambda metric: metric.name)
def test_how_scale_is_split_between_activation_and_write_vector_does_not_matter(metric):
    scale = torch.tensor([3.0, 0.01, 50.0, 1.0, 7.0, 0.2, 4.0])
    draw = torch.Generator().manual_seed(0)
    codes = torch.rand(200, 7, generator=draw) * (torch.rand(200, 7, generator=draw) < 0.3)
    x = torch.randn(200, 2, generator=draw) + 0.5
    values = []
    for factor in (torch.ones(7), scale):
        one = metric(WRITES * factor[:, None], PROBE, MAIN)
        one.add(x, *compressed(codes / factor), torch.zeros(200, dtype=torch.int64))
        values.append(one.value())
    assert 0.05 < values[0] < 0.95
    assert values[1] == pytest.approx(values[0], abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 3, 6])
def test_classes_weigh_the_same_however_many_tokens_they_have(chunk):
    probes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    writes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    classes = torch.tensor([0, 1, 0, 0, 0, 1])
    codes = torch.zeros(6, 4)
    codes[0, 2] = codes[1, 3] = codes[2, 0] = codes[3, 0] = codes[4, 0] = codes[5, 3] = 1.0  # 1 of 4 and 2 of 2
    metric = AbsorptionFull(writes, probes, [torch.tensor([0]), torch.tensor([1])])
    for rows in torch.arange(6).split(chunk):
        metric.add(torch.ones(len(rows), 2), *compressed(codes[rows]), classes[rows])
    assert metric.value() == (0.25 + 1.0) / 2
    items, above, below = metric.per_item()
    assert (items.tolist(), above.tolist(), below.tolist()) == ([0, 1], [0.25, 1.0], [1.0, 1.0])
    assert ratio_of_sums(above, below).value == metric.value()
    assert not math.isclose(3 / 6, metric.value(), abs_tol=0.01)  # the mean over tokens


def test_several_main_units_count_together():
    metric = AbsorptionFraction(WRITES, PROBE, [torch.tensor([0, 6])])
    metric.add(torch.tensor([[0.0, 1.0]]), *compressed([[0.2, 0.25, 0, 0, 0, 0, 1.0]]), torch.tensor([0]))
    assert metric.value() == pytest.approx(0.5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(WrongUse, match="1 probes, 1 of them zero"):
        AbsorptionFull(WRITES, torch.zeros(1, 2), MAIN)
    with pytest.raises(WrongUse, match="main units of 2"):
        AbsorptionFull(WRITES, PROBE, [*MAIN, *MAIN])
    with unchecked(), pytest.raises(WrongUse, match="2 activations, codes of 1 tokens, 1 classes"):
        AbsorptionFull(WRITES, PROBE, MAIN).add(torch.ones(2, 2), *compressed([[1.0] * 7]), torch.tensor([0]))
    with pytest.raises(WrongUse, match="take the value of absorption_full"):
        AbsorptionFull(WRITES, PROBE, MAIN).value()
