"""What measuring a dictionary gives, on dictionaries whose figures are known before.

The model is a tiny random Llama. Its input and output embeddings are one, so that it expects what it has just read:
texts of repeated letters it reads better than when it is ablated. A dictionary of all its coordinates reconstructs
everything, one that never fires says nothing but its bias; what lies between is told apart from its nulls, or not.
"""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.activations.store import ActivationStore, open_store
from microtome.bench.config import MeasureConfig
from microtome.bench.measuring import measure
from microtome.bench.texts import ids_of, read_texts
from microtome.core.errors import MicrotomeError, SiteNotFound, WrongUse
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.baseline import baseline
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import sae, transcoder
from microtome.dictionary.starting import untrained
from microtome.evidence.measurement import Measurement
from microtome.evidence.quantity import Quantity

SITE = "resid.1"
TEXTS = [a * 9 + b * 7 for a, b in zip("qwrtpsdfghkl", "zxcvbnmjyuio", strict=True)]
CONFIG = MeasureConfig(fitted_on=10_000, n_texts=6, batch=50)


@pytest.fixture(scope="module")
def store(llama, tmp_path_factory) -> ActivationStore:
    folder = tmp_path_factory.mktemp("store")
    config = HarvestConfig(dtype="float32", context=32)
    return harvest(llama, TEXTS, [SITE, "mlp.in.1", "mlp.out.1"], out=folder / "kept", config=config)


@pytest.fixture(scope="module")
def d(store) -> int:
    return store.widths[SITE]


def silent(d: int, bias: torch.Tensor, site: str = SITE) -> Dictionary:
    """A dictionary whose units never fire."""
    made = untrained(sae(site, d, 16), TopK(k=4), seed=0)
    with torch.no_grad():
        next(made.units).b_enc.fill_(-1e6)
        made.b_dec.copy_(bias)
    return made


def test_a_dictionary_that_keeps_everything_recovers_all(llama, store, d):
    found = measure(baseline("neurons", sae(SITE, d, d)), store, model=llama, texts=TEXTS, config=CONFIG)
    for name in ("variance explained", "cosine", "cross-entropy recovered against zero ablation"):
        assert found[name].value == pytest.approx(1, abs=1e-5), name
    assert found["cross-entropy recovered against mean ablation"].value == pytest.approx(1, abs=1e-5)
    assert found["cross-entropy added"].value == pytest.approx(0, abs=1e-6)
    assert found["L0"].value == pytest.approx(d)


@pytest.mark.parametrize(
    ("bias", "against"), [(lambda store: store.means[SITE] * 0, "zero"), (lambda store: store.means[SITE], "mean")]
)
def test_one_that_never_fires_is_the_ablation_to_its_bias(llama, store, d, bias, against):
    found = measure(silent(d, bias(store)), store, model=llama, texts=TEXTS, config=CONFIG)
    assert found[f"cross-entropy recovered against {against} ablation"].value == pytest.approx(0, abs=1e-5)
    assert found["L0"].value == 0
    assert found["dead units"].value == 1
    if against == "mean":
        assert found["variance explained"].value == pytest.approx(0, abs=1e-4)


def test_all_that_is_given_is_evidence_with_nulls_or_a_plain_quantity(llama, store, d):
    dictionary = untrained(sae(SITE, d, 32), TopK(k=4), seed=0)
    more = {"frozen random decoder": untrained(sae(SITE, d, 32), TopK(k=4), seed=1)}
    found = measure(dictionary, store, model=llama, texts=TEXTS, nulls=more, control=(dictionary, store), config=CONFIG)
    evidence = {name for name, one in found.items() if isinstance(one, Measurement)}
    assert evidence == {
        "variance explained", "variance explained, ordinary tokens", "cosine", "cosine, ordinary tokens",
        "cross-entropy recovered against zero ablation", "cross-entropy recovered against mean ablation",
    }  # fmt: skip
    assert all(isinstance(one, Quantity) for name, one in found.items() if name not in evidence)
    for name in evidence:
        one = found[name]
        assert {null.name for null in one.nulls} == {"pca", "random", "neurons", "frozen random decoder"}
        left_out = int(one.measured_in.split("; ")[1].split(" of ")[0]) if "left out" in one.measured_in else 0
        assert one.n + left_out == (6 if name.startswith("cross") else len(TEXTS))
    again = found["variance explained, reinitialised model"].value
    assert again == pytest.approx(found["variance explained"].value, rel=1e-9)


def test_principal_components_beat_random_directions_and_say_so(store, d):
    x = store.rows(SITE, slice(None))
    components = baseline("pca", sae(SITE, d, d), x=x, k=4)
    found = measure(components, store, config=CONFIG)["variance explained"]
    by_name = {null.name: null for null in found.nulls}
    assert found.beats(by_name["random"])
    assert not found.beats(by_name["pca"])


@pytest.mark.parametrize("site", ["attn.heads.1", "attn.q.0", "attn.k.1", "attn.v.1"])
def test_heads_are_put_side_by_side_and_back(site, llama, tmp_path):
    config = HarvestConfig(dtype="float32", context=32)
    store = harvest(llama, TEXTS, [site], out=tmp_path / "heads", config=config)
    d = store.widths[site]
    whole = measure(baseline("neurons", sae(site, d, d)), store, model=llama, texts=TEXTS, config=CONFIG)
    assert whole["cross-entropy added"].value == pytest.approx(0, abs=1e-6)
    mean = silent(d, store.means[site], site)
    nothing = measure(mean, store, model=llama, texts=TEXTS, nulls={"zero": silent(d, 0 * store.means[site], site)})
    assert nothing["cross-entropy recovered against mean ablation"].value == pytest.approx(0, abs=1e-5)
    said = next(read_texts(llama, ids_of(llama, TEXTS[:2], 8), [site], "reading"))
    assert said.sites[site].shape[1] == d
    assert said.codes(mean).n_units == 16


def spoiled(store: ActivationStore, folder: Path, spoil) -> ActivationStore:
    """A copy of a store with other rows at the site."""
    shutil.copytree(store.path, folder)
    for shard in store.shards:
        held = load_file(folder / shard.record.name)
        spoil(held[f"values {SITE}"])
        held[f"square {SITE}"] = held[f"values {SITE}"].square().sum(1)
        save_file(held, folder / shard.record.name)
    return open_store(folder)


@pytest.mark.parametrize(
    "spoil, found",
    [
        (lambda x: x[3].fill_(torch.nan), "NaN or infinite numbers at resid.1 in 1 of {n} rows, first in row 3"),
        (lambda x: x[5].zero_(), "nothing but zeros at resid.1 in 1 of {n} rows, first in row 5"),
        (lambda x: x.copy_(x[:1].clone().expand_as(x)), "{n} rows at resid.1 that are all the same"),
    ],
    ids=["NaN", "zeros", "constant"],
)
def test_rows_that_spoil_every_figure_are_named(spoil, found, store, d, tmp_path):
    bad = spoiled(store, tmp_path / "store", spoil)
    with pytest.raises(WrongUse) as said:
        measure(untrained(sae(SITE, d, 16), TopK(k=4), seed=0), bad, config=CONFIG)
    assert said.value.found == found.format(n=store.n_tokens)


def test_giants_are_left_out_of_the_figures_of_ordinary_tokens(store, d):
    """With a limit below the median, few tokens are ordinary, and the figure says how few."""
    found = measure(baseline("neurons", sae(SITE, d, d)), store, config=MeasureConfig(fitted_on=10_000, ordinary=1.0))
    share = float((store.squares(SITE) <= store.squares(SITE).median()).double().mean())
    assert f"{share:.1%} of all" in found["variance explained, ordinary tokens"].measured_in


def test_a_transcoder_needs_a_null_that_was_made_for_it(store):
    d_in, d_out = store.widths["mlp.in.1"], store.widths["mlp.out.1"]
    one, other = (
        untrained(transcoder("mlp.in.1", "mlp.out.1", d_in, d_out, 32), TopK(k=4), seed=seed) for seed in (0, 1)
    )
    with pytest.raises(MicrotomeError) as refusal:
        measure(one, store)
    assert "no null" in refusal.value.found
    assert [null.name for null in measure(one, store, nulls={"other": other})["variance explained"].nulls] == ["other"]


def test_what_cannot_be_measured_is_refused(llama, store, d):
    with pytest.raises(SiteNotFound):
        measure(untrained(sae("resid.0", d, 32), TopK(k=4), seed=0), store)
    with pytest.raises(MicrotomeError, match="a model without texts"):
        measure(untrained(sae(SITE, d, 32), TopK(k=4), seed=0), store, model=llama)
    with pytest.raises(MicrotomeError, match="no text of two tokens"):
        measure(untrained(sae(SITE, d, 32), TopK(k=4), seed=0), store, model=llama, texts=["", " "], config=CONFIG)
