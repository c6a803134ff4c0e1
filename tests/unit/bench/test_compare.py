"""No ranking within the noise of reseeding: the rule, and how often it errs where there is no difference."""

import numpy as np
import pytest

from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.bench.comparing import compare, judged
from microtome.core.errors import WrongUse
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.baseline import baseline
from microtome.dictionary.geometry import sae
from microtome.dictionary.starting import untrained
from microtome.evidence.intervals import most_errors


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 3), (2, 5)])
def test_equal_recipes_are_rarely_ranked(n_a, n_b):
    random = np.random.default_rng(0)
    ranked = sum(judged(list(random.normal(size=n_a)), list(random.normal(size=n_b))).ranked for _ in range(400))
    assert ranked <= most_errors(0.05, 400)


def test_a_difference_beyond_the_noise_is_ranked_either_way():
    low, high = [0.70, 0.71, 0.705], [0.80, 0.81, 0.79]
    better, worse = judged(high, low), judged(low, high)
    assert better.ranked
    assert better.words.startswith("The first explains more variance (+0.095")
    assert worse.words.startswith("The second explains more variance (-0.095")
    assert better.difference.null.p_value == worse.difference.null.p_value < 0.1
    assert better.difference.beats(better.difference.null)


def test_a_difference_within_the_noise_is_not():
    found = judged([0.70, 0.76], [0.72, 0.75])
    assert not found.ranked
    assert found.words.startswith("Not ranked: the difference lies within the noise of reseeding (-0.0050 [")
    assert not found.difference.beats(found.difference.null)


def test_one_run_each_tells_nothing(llama, tmp_path):
    store = harvest(llama, ["The cat sees the car.", "An owl hears the map."], ["resid.1"], out=tmp_path / "store",
                    config=HarvestConfig(dtype="float32"))  # fmt: skip
    d = store.widths["resid.1"]
    ours = [untrained(sae("resid.1", d, 32), TopK(k=4), seed=seed) for seed in range(3)]
    components = baseline("pca", sae("resid.1", d, d), x=store.rows("resid.1", slice(None)), k=4)
    with pytest.raises(WrongUse, match="1 and 3 training runs"):
        compare(ours[:1], ours, store)
    assert not compare(ours[:2], ours[1:], store).ranked
    found = compare([components, components], ours, store)
    assert found.ranked
    assert found.a[0] > max(found.b)
