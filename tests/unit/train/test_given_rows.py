"""Training on a tensor, an array or several by site, without a store."""

import pytest
import torch
from small_runs import QUIET

from microtome.core.errors import SiteNotFound, WrongUse
from microtome.train.given_rows import GivenRows
from microtome.train.sweep import sweep
from microtome.train.training import train
from unchecked import unchecked

SETTINGS = {"tokens": 96, "batch": 16, "units": 8, "k": 2, "doctor": QUIET}
ROWS = 1.0 + torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("given", [ROWS, ROWS.double(), ROWS.numpy(), ROWS.double().numpy(), {"resid.3": ROWS}])
def test_a_tensor_of_any_kind_is_what_a_source_of_its_rows_is(given):
    made = train(given, site="resid.3", **SETTINGS)
    same = train(GivenRows({"resid.3": ROWS}), site="resid.3", **SETTINGS)
    assert torch.equal(made.b_dec, same.b_dec)
    assert made.b_dec.dtype == torch.float32
    assert made.card is not None
    assert made.card.data["rows"] == 40


def test_several_sites_are_given_by_name():
    made = train({"a": ROWS, "b": ROWS[:, :5]}, reads="a", writes="b", **SETTINGS)
    assert (made.geometry.d_in, made.geometry.d_out) == (6, 5)
    with pytest.raises(SiteNotFound, match="'c'"):
        train({"a": ROWS}, site="c", **SETTINGS)


def test_every_pass_has_every_row_once_and_goes_on_where_it_stood():
    source = GivenRows({"a": torch.arange(10.0)[:, None]}, seed=3)
    first = [source.batch(5, ["a"])["a"] for _ in range(2)]
    assert torch.cat(first).flatten().sort().values.tolist() == list(range(10))
    state = source.state()
    after = source.batch(7, ["a"])["a"]
    again = GivenRows({"a": torch.arange(10.0)[:, None]}, seed=3)
    again.restore(state)
    assert torch.equal(again.batch(7, ["a"])["a"], after)
    with pytest.raises(WrongUse, match="other rows or another seed"):
        GivenRows({"a": torch.ones(10, 1)}, seed=3).restore(state)


class Float64(GivenRows):
    """A source of batches in float64."""

    def batch(self, size, sites):
        return {site: one.double() for site, one in super().batch(size, sites).items()}


def test_a_source_in_float64_is_learned_from_in_float32():
    made = train(Float64({"resid.3": ROWS}), site="resid.3", **SETTINGS)
    assert torch.equal(made.b_dec, train(ROWS, site="resid.3", **SETTINGS).b_dec)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (ROWS.view(2, 20, 6), "at a a tensor [2, 20, 6] of torch.float32"),
        (ROWS.long(), "at a a tensor [40, 6] of torch.int64"),
        (ROWS[:0], "at a a tensor [0, 6] of torch.float32"),
        (torch.full((3, 6), torch.nan), "NaN or infinite numbers at a in 3 of 3 rows, first in row 0"),
        ({"a": ROWS, "b": ROWS[:3]}, "rows by site: {'a': 40, 'b': 3}"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(given, found):
    with pytest.raises(WrongUse) as said:
        train(given, site="a", **SETTINGS)
    assert said.value.found == found


@pytest.mark.parametrize("values", [16, "16", [], None])
def test_values_of_a_sweep_are_a_list(values):
    with unchecked(), pytest.raises(WrongUse) as said:
        sweep(ROWS, {"k": values}, site="a", units=8)
    assert said.value.found == f"k = {values!r}"
    assert said.value.do == "give values of k as a list, such as (16, 32)"


def test_a_sweep_takes_a_tensor_too():
    settings = {name: value for name, value in SETTINGS.items() if name != "k"}
    points = sweep(ROWS, {"k": (1, 2)}, site="a", **settings)
    assert [point.settings for point in points] == [{"k": 1}, {"k": 2}]


def test_what_else_might_be_given_is_said():
    with pytest.raises(WrongUse, match="a Tensor to train on at a, b") as said:
        train(ROWS, reads="a", writes="b", **SETTINGS)
    assert said.value.do.startswith("give a store, a tensor [tokens, width] for one site")
