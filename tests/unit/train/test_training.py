"""Training finds what was planted, whatever the architecture, and what it gives takes inputs as they are."""

import json

import pytest
import torch

import microtome as mt
import microtome.train.trainee as trainee_module
from microtome.core.progress import shown_by
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.saving import load
from microtome.train.config import RunConfig, TrainConfig
from microtome.train.job import job
from microtome.train.schedule import Schedule
from microtome.train.sweep import sweep
from microtome.train.trainee import Trainee
from microtome.train.training import train, train_many
from microtome.train.unit_length import freed_along
from planted_source import Planted

SPARSE = {
    "topk": {"k": 3, "aux_k": 8}, "batchtopk": {"k": 2, "aux_k": 8}, "matryoshka": {"k": 2, "aux_k": 8},
    "relu": {"l1": 1.0}, "gated": {"l1": 3.0}, "jumprelu": {"l0": 1.0, "window": 0.5, "threshold": 0.1, "lr": 2e-2},
}  # fmt: skip
# So short or so small that the doctor finds them ill.
QUIET = dict.fromkeys(("dead_units", "dense_units", "shrinkage", "too_good"), "off")
SHORT = {"tokens": 4096, "batch": 512, "doctor": QUIET}


def planted(**settings) -> Planted:
    return Planted(**{"d": 16, "features": 32, "active": 2.0, **settings})


def explained(dictionary, x, y) -> float:
    return 1 - float((y - dictionary.reconstruct(x)).square().sum() / (y - y.mean(0)).square().sum())


@pytest.mark.parametrize("architecture", [entry.name for entry in ARCHITECTURES if not entry.value.signed])
def test_every_architecture_finds_planted_directions(architecture):
    source = planted(d=32, features=64)
    settings = {"tokens": 51_200, "batch": 512, "lr": 4e-3, "doctor": QUIET, **SPARSE[architecture]}
    made = mt.train(source, site="resid.0", architecture=architecture, units=96, **settings)
    x = source.batch(4096, ["resid.0"])["resid.0"]
    assert explained(made, x, x) > 0.6
    random = torch.randn(96, 32, generator=torch.Generator().manual_seed(9))
    found, chance = (nearest(source, vectors) for vectors in (made.write_vectors(range(96))[:, 0], random))
    assert found > chance + 0.6 * (1 - chance)


@pytest.mark.parametrize("architecture", [entry.name for entry in ARCHITECTURES if entry.value.by_token])
def test_a_batch_learned_from_in_parts_is_learned_from_as_a_whole(architecture, monkeypatch):
    def after_five_steps() -> tuple[dict[str, torch.Tensor], float]:
        source = planted(d=24, features=64)
        one = job("resid.0", architecture, 96, **SPARSE[architecture])
        trainee = Trainee(one, Schedule(one.training, RunConfig(**SHORT)), source, torch.device("cpu"))
        for step in range(5):
            trainee.learn(source.batch(512, ["resid.0"]), 512 * step)
        return trainee.dictionary.state_dict(), trainee.read(2560).loss

    whole, loss = after_five_steps()
    monkeypatch.setattr(trainee_module, "PLACES", 2000)  # of some 50,000
    parts, summed = after_five_steps()
    assert summed == pytest.approx(loss, rel=1e-5)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5)


def nearest(source, vectors) -> float:
    """Mean over what was planted of the largest cosine with a vector."""
    cosines = source.directions["resid.0"] @ torch.nn.functional.normalize(vectors, dim=1).T
    return float(cosines.max(1).values.mean())


@pytest.mark.parametrize(
    ("settings", "reads", "writes"),
    [
        ({"site": "a"}, "a", "a"),
        ({"reads": "a", "writes": "b"}, "a", "b"),
        ({"reads": "a", "writes": "b", "skip": True}, "a", "b"),
        ({"site": ("a", "b")}, ("a", "b"), ("a", "b")),
        ({"reads": ("a", "b"), "writes": ("b", "a"), "kind": "clt"}, ("a", "b"), ("b", "a")),
        ({"site": "a", "decoder": "unit"}, "a", "a"),
        ({"site": "a", "centre": "median"}, "a", "a"),
    ],
    ids=["sae", "transcoder", "skip transcoder", "crosscoder", "clt", "unit-length", "geometric median"],
)
def test_every_kind_learns_and_takes_raw_inputs(settings, reads, writes):
    """Two sites of very different scale, so that a scale that is not folded shows."""
    source = Scaled(d=16, features=32, active=2.0, sites=("a", "b"))
    made = train(source, units=48, k=4, aux_k=8, tokens=25_600, batch=256, lr=4e-3, doctor=QUIET, **settings)
    rows = source.batch(2048, ["a", "b"])
    x, y = (rows[at] if isinstance(at, str) else torch.stack([rows[one] for one in at], 1) for at in (reads, writes))
    for site in range(y.shape[1] if y.ndim == 3 else 1):
        own, told = (one if one.ndim == 2 else one[:, site] for one in (y, made.reconstruct(x)))
        enough = 0.7 if reads == writes else 0.4  # nothing tells read vectors apart at the start but chance
        assert 1 - float((own - told).square().sum() / (own - own.mean(0)).square().sum()) > enough


class Scaled(Planted):
    """The second site is 50 times as large."""

    def batch(self, size, sites):
        return {site: rows * (50.0 if site == "b" else 0.1) for site, rows in super().batch(size, sites).items()}


def test_one_pass_gives_what_each_alone_would_be():
    jobs = [
        job("a", units=24, k=2, aux_k=4, name="first"),
        job("b", "batchtopk", units=16, k=3, aux_k=4, seed=5, name="second"),
        job("a", "relu", units=32, lr=1e-2, name="third"),
    ]
    together = train_many(planted(sites=("a", "b")), jobs, **SHORT)
    for one, made in zip(jobs, together, strict=True):
        (alone,) = train_many(planted(sites=("a", "b")), [one], **SHORT)
        assert all(torch.equal(made.state_dict()[name], weight) for name, weight in alone.state_dict().items())


def test_the_seed_decides_everything():
    weights = [
        train(planted(), site="resid.0", units=24, k=2, seed=seed, **SHORT).state_dict()["b_dec"] for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_sweep_is_every_combination(tmp_path):
    points = sweep(
        planted(), {"k": (2, 4), "units": (16, 24)}, site="resid.0", aux_k=4, out=tmp_path / "sweep", **SHORT
    )
    assert [point.settings for point in points] == [
        {"k": 2, "units": 16}, {"k": 2, "units": 24}, {"k": 4, "units": 16}, {"k": 4, "units": 24},
    ]  # fmt: skip
    assert [point.dictionary.n_units for point in points] == [16, 24, 16, 24]
    assert [round(point.reading.l0) for point in points] == [2, 2, 4, 4]
    assert load(tmp_path / "sweep" / "k=4 units=16").n_units == 16


def test_what_a_pass_has_once_cannot_vary():
    with pytest.raises(mt.MicrotomeError, match=r"tokens, which one pass over the data has once"):
        sweep(planted(), {"tokens": (4096, 8192)}, site="resid.0")


def test_write_vectors_stay_of_length_one_and_gradients_orthogonal_to_them():
    one = job("resid.0", units=24, k=3, aux_k=0, decoder="unit", clip=None)
    trainee = Trainee(one, Schedule(one.training, RunConfig(tokens=4096, batch=256)), planted(), torch.device("cpu"))
    rows = planted().batch(256, ["resid.0"])
    (units,) = trainee.dictionary.units
    trainee.begin(rows)
    for step in range(3):
        before = units.W_dec.detach().clone()
        trainee.learn(rows, 256 * step)
        torch.testing.assert_close(units.norms, torch.ones(24), rtol=1e-6, atol=0)
        assert not torch.equal(before, units.W_dec)
    random = torch.Generator().manual_seed(0)
    units.W_dec.grad = torch.randn(units.W_dec.shape, generator=random)
    whole = units.W_dec.grad.clone()
    freed_along(trainee.dictionary)
    along = (units.W_dec.grad * units.W_dec).sum(1)
    assert (along.abs() < 1e-6 * whole.norm(dim=1)).all()
    assert ((whole * units.W_dec).sum(1).abs() > 1e-3).any()


def test_gradients_are_cut_to_the_limit_and_the_rate_follows_its_rule():
    one = job("resid.0", units=64, k=3, aux_k=0, clip=1e-9)
    trainee = Trainee(one, Schedule(one.training, RunConfig(tokens=4096, batch=256)), planted(), torch.device("cpu"))
    assert trainee.rate == pytest.approx(2e-4 * (2**14 / 64) ** 0.5 * 8)
    before = trainee.dictionary.b_dec.detach().clone()
    trainee.learn(planted().batch(256, ["resid.0"]), 0)
    moved = float((trainee.dictionary.b_dec - before).detach().abs().max())
    assert 0 < moved < 0.2 * trainee.rate  # at the end of warm-up Adam would move by the rate; its ε holds this back


def test_b_dec_starts_in_the_middle_of_what_is_written():
    source = planted(sites=("a", "b"))
    one = job(reads="a", writes="b", units=8, k=4)
    trainee = Trainee(one, Schedule(one.training, RunConfig(tokens=512, batch=256)), source, torch.device("cpu"))
    rows = source.batch(256, ["a", "b"])
    trainee.begin(rows)
    torch.testing.assert_close(trainee.dictionary.b_dec[0], rows["b"].mean(0) * trainee.scales["b"])


def test_dead_is_what_has_not_fired_for_the_window():
    one = job("resid.0", units=256, k=1, aux_k=0, dead_after="300 tokens")
    trainee = Trainee(one, Schedule(one.training, RunConfig(tokens=4096, batch=256)), planted(), torch.device("cpu"))
    rows = planted().batch(256, ["resid.0"])
    trainee.begin(rows)
    fired = set()
    for step in range(2):
        fired |= set(fires(trainee, rows))
        trainee.learn(rows, 256 * step)
        if step == 0:
            assert not trainee.dead.any()
    assert {i for i, dead in enumerate(trainee.dead.tolist()) if not dead} == fired
    assert 0 < len(fired) < 256


def fires(trainee, rows) -> list[int]:
    x, _ = trainee.rows(rows)
    (given,) = trainee.dictionary.given(x)
    active = trainee.job.architecture.fit(*given)
    return active.picks.ids[active.firing].unique().tolist()


def test_a_run_leaves_a_dictionary_a_card_and_a_log(tmp_path):
    made = train(planted(), site="resid.0", units=24, k=2, seed=3, out=tmp_path / "sae", **SHORT)
    again = load(tmp_path / "sae")
    x = planted().batch(64, ["resid.0"])["resid.0"]
    assert torch.equal(again.reconstruct(x), made.reconstruct(x))
    assert again.card is not None
    assert (again.card.kind, again.card.seed, again.card.model) == ("dictionary", 3, {"name": "none"})
    assert again.card.data["planted"]["features"] == 32
    config = again.card.config
    assert TrainConfig.from_dict(config["job"]["training"]) == TrainConfig()
    assert config["job"]["architecture"] == {"name": "topk", "k": 2, "by_norm": True, "aux_k": 256}
    assert (config["tokens"], config["run"]["batch"], config["final"]["tokens"]) == (4096, 512, 4096)
    lines = [json.loads(line) for line in (tmp_path / "sae" / "log.jsonl").read_text().splitlines()]
    assert [line["tokens"] for line in lines] == list(range(512, 4097, 512))
    assert lines[-1]["variance_explained"] == config["final"]["variance_explained"]
    assert {"tokens_per_second", "l0", "dead", "loss"} <= lines[0].keys()


def test_a_store_gives_its_shuffled_rows():
    class Store:
        asked: tuple = ()

        def shuffled(self, seed=0, sites=None):
            self.asked = (seed, sites)
            return planted()

    store = Store()
    train(store, site="resid.0", units=16, k=2, seed=4, **SHORT)
    assert store.asked == (4, ("resid.0",))


def test_it_says_how_it_goes():
    class Heard:
        def __init__(self):
            self.done, self.said = 0, []

        def start(self, label, total):
            self.said.append(f"{label}: {total}")
            return 0

        def advance(self, handle, steps=1):
            self.done += steps

        def say(self, handle, text):
            self.said.append(text)

        def finish(self, handle):
            self.said.append("end")

    heard = Heard()
    with shown_by(heard):
        train(planted(), site="resid.0", units=16, k=2, **SHORT)
    assert heard.done == 4096
    assert heard.said[0] == "topk sae resid.0 16 units: 4096"
    assert all(word in heard.said[-2] for word in ("variance explained 0.", "L0 2.0", "dead ", "tokens/s"))
    assert heard.said[-1] == "end"
