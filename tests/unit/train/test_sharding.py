"""Training in several processes gives what one gives: the same choice, the same parameters, the same loss."""

from functools import partial
from pathlib import Path

import pytest
import torch

from microtome.cluster.checkpoint import open_checkpoint
from microtome.cluster.mesh import joined
from microtome.core.artefact import RunCard
from microtome.core.errors import FormatError, WrongUse
from microtome.dictionary.architecture import ARCHITECTURES, Moment
from microtome.dictionary.architectures.batchtopk import BatchTopK
from microtome.dictionary.architectures.matryoshka import Matryoshka
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import cross_layer, sae
from microtome.dictionary.saving import load, save
from microtome.dictionary.starting import untrained
from microtome.train.sharding import (
    Companions,
    average_gradients,
    clip_gradients,
    load_sharded,
    own_rows,
    save_sharded,
    shares_of,
    summed_over_rows,
)
from several_ranks import on_ranks

D, UNITS, BATCH, STEPS = 16, 66, 32, 20
GEOMETRIES = {
    "sae": sae("resid.0", D, UNITS),
    "clt": cross_layer(("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1"), D, D, UNITS // 2),
}
Told = list[tuple[float, float]]
ARCHITECTURE = {
    "topk": TopK(k=2, aux_k=4),
    "batchtopk": BatchTopK(k=2, aux_k=4),
    "matryoshka": Matryoshka(k=2, aux_k=4, levels=(0.1, 0.6, 1.0)),
}


def rows_of(step: int, sites: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """A batch that is sparse in a random basis, as activations are."""
    random = torch.Generator().manual_seed(step)
    basis = torch.randn(3 * D, D, generator=torch.Generator().manual_seed(1234))
    found = {}
    for site in sites:
        said = torch.rand(BATCH, 3 * D, generator=random)
        found[site] = 0.3 + (said * (said > 0.9)) @ basis
    return found


class Learner:
    """The steps of training that depend on how many there are, and no more."""

    def __init__(self, geometry: str, architecture: str, mesh):
        self.mesh = mesh
        settings = ARCHITECTURE.get(architecture) or ARCHITECTURES.get(architecture).tiny()
        whole = GEOMETRIES[geometry]
        self.dictionary = untrained(whole, settings, seed=0, length=0.5, shares=shares_of(whole, mesh))
        self.since = torch.zeros(self.dictionary.n_units)
        self.revived = False
        self.trained = {name: p for name, p in self.dictionary.named_parameters() if p.requires_grad}
        self.adam = torch.optim.Adam(self.trained.values(), lr=1e-3)

    def learn(self, step: int) -> tuple[float, float]:
        """Loss terms over the whole batch, and how many places were chosen."""
        geometry = self.dictionary.geometry
        rows = own_rows(rows_of(step, geometry.sites), self.mesh)
        x, y = (torch.stack([rows[site] for site in sites], 1) for sites in (geometry.reads, geometry.writes))
        dead = (self.since > BATCH).split([block.units for block in geometry.blocks])
        outcome = self.dictionary.architecture.outcome(self.dictionary, x, y, Moment(1.0, dead))
        self.revived |= "aux" in outcome.terms
        self.adam.zero_grad()
        outcome.loss.backward()
        average_gradients(self.dictionary, self.mesh)
        self.length = clip_gradients(self.dictionary, self.mesh, 5.0)
        self.adam.step()
        self.dictionary.architecture.settle(outcome)
        counts = [torch.bincount(one.picks.ids[one.firing], minlength=one.picks.n_units) for one in outcome.active]
        fired = summed_over_rows(torch.cat(counts), self.mesh)
        self.since = torch.where(fired > 0, 0.0, self.since + BATCH)
        loss = float(summed_over_rows(outcome.loss.detach(), self.mesh)) / self.mesh.rows
        return loss, float(fired.sum())

    @property
    def companions(self) -> Companions:
        moments = {
            key: {name: torch.as_tensor(self.adam.state[p][key]) if p in self.adam.state else p.detach()
                  for name, p in self.trained.items()}
            for key in ("exp_avg", "exp_avg_sq")
        }  # fmt: skip
        steps = {"step": torch.tensor(float(next(iter(self.adam.state.values()))["step"]) if self.adam.state else 0.0)}
        return Companions(moments, {"since": self.since}, steps)

    def save(self, folder: Path, step: int) -> None:
        card = RunCard("checkpoint", 1, 0)
        save_sharded(folder, f"step-{step}", self.dictionary, self.companions, self.mesh, {"step": step}, card)

    def resume(self, folder: Path) -> int:
        saved = open_checkpoint(folder)
        found = load_sharded(saved, self.dictionary, self.companions)
        self.since = found.of_units["since"]
        for name, p in self.trained.items():
            state = {key: tensors[name] for key, tensors in found.of_parameters.items()}
            self.adam.state[p] = {"step": found.alike["step"].clone(), **state}
        return int(saved.values["step"])


def trained(columns: int, geometry: str, architecture: str, folder: str, until: int = STEPS) -> Told:
    """Trains to a checkpoint, from the one that is there, if any."""
    with joined(columns) as mesh:
        learner, path = Learner(geometry, architecture, mesh), Path(folder)
        begun = learner.resume(path) if path.exists() else 0
        told = [learner.learn(step) for step in range(begun, until)]
        assert learner.revived == (architecture in ARCHITECTURE) or until < 5, "some are dead"
        learner.save(path, until)
        return told


def alone(geometry: str, architecture: str, folder: Path, until: int = STEPS) -> Told:
    return trained(1, geometry, architecture, str(folder), until)


def whole(geometry: str, architecture: str, folder: Path) -> Dictionary:
    """What a checkpoint holds, in one process, whatever number of them saved it."""
    with joined() as mesh:
        learner = Learner(geometry, architecture, mesh)
        learner.resume(folder)
        return learner.dictionary


def same(ours: Dictionary, theirs: Dictionary, tolerance: float = 1e-5) -> None:
    for (name, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert (mine - other).abs().max() <= tolerance * max(1.0, float(other.abs().max())), name


CASES = [
    (2, 2, "sae", "topk"), (4, 4, "sae", "topk"), (4, 2, "sae", "topk"), (2, 1, "sae", "topk"),
    (4, 2, "sae", "batchtopk"), (4, 4, "sae", "batchtopk"), (2, 2, "sae", "matryoshka"), (4, 2, "clt", "topk"),
    (2, 2, "clt", "batchtopk"), (2, 2, "sae", "relu"), (2, 2, "sae", "gated"), (2, 2, "sae", "jumprelu"),
]  # fmt: skip


@pytest.mark.parametrize("ranks, columns, geometry, architecture", CASES)
def test_many_processes_learn_what_one_learns(ranks, columns, geometry, architecture, tmp_path):
    """The dead are revived within the 20 steps, b_dec moves, and the clipping cuts."""
    one = alone(geometry, architecture, tmp_path / "one")
    told = on_ranks(ranks, tmp_path, trained, columns, geometry, architecture, str(tmp_path / "many"))
    for step, (loss, _) in enumerate(one):
        assert told[0][step][0] == pytest.approx(loss, rel=1e-5), step
    chosen = [sum(rank[step][1] for rank in told[:columns]) for step in range(STEPS)]
    assert chosen == [count for _, count in one]
    start = untrained(GEOMETRIES[geometry], whole(geometry, architecture, tmp_path / "one").architecture, seed=0)
    with pytest.raises(AssertionError):
        same(whole(geometry, architecture, tmp_path / "one"), start)
    same(whole(geometry, architecture, tmp_path / "many"), whole(geometry, architecture, tmp_path / "one"))


def test_the_loss_stays_equal_beyond(tmp_path):
    """Rounding may part single weights in the end; what is learned stays the same."""
    one = alone("sae", "batchtopk", tmp_path / "one", 5 * STEPS)
    told = on_ranks(4, tmp_path, trained, 2, "sae", "batchtopk", str(tmp_path / "many"), 5 * STEPS)
    for step, (loss, _) in enumerate(one):
        assert told[0][step][0] == pytest.approx(loss, rel=1e-3), step
    assert one[-1][0] < 0.9 * one[0][0]


@pytest.mark.parametrize("first, then", [((4, 4), (2, 2)), ((4, 2), (1, 1)), ((2, 2), (4, 4))])
def test_a_run_is_resumed_by_another_number_of_processes(first, then, tmp_path):
    alone("sae", "topk", tmp_path / "one")
    on_ranks(first[0], tmp_path, trained, first[1], "sae", "topk", str(tmp_path / "many"), STEPS // 2)
    on_ranks(then[0], tmp_path, trained, then[1], "sae", "topk", str(tmp_path / "many"), STEPS)
    same(whole("sae", "topk", tmp_path / "many"), whole("sae", "topk", tmp_path / "one"))
    names = {path.name for path in (tmp_path / "many").iterdir()}
    assert names == {"checkpoint.json"} | {f"step-{STEPS}.{i}-of-{then[1]}.safetensors" for i in range(then[1])}


def sizes_here(columns: int) -> tuple[int, ...]:
    with joined(columns) as mesh:
        dictionary = Learner("sae", "topk", mesh).dictionary
        whole_one = untrained(GEOMETRIES["sae"], TopK(k=6), seed=0, length=0.5)
        own = next(dictionary.units)
        start = own.share.first
        assert torch.equal(own.W_dec, next(whole_one.units).W_dec[start : start + own.share.units])
        return tuple(own.W_enc.shape)


def test_each_process_holds_its_share_alone(tmp_path):
    assert on_ranks(4, tmp_path, sizes_here, 4) == [(16, D), (17, D), (16, D), (17, D)]


def test_units_and_batches_that_cannot_be_divided_are_refused():
    with joined() as mesh:
        mesh_of = partial(own_rows, mesh=mesh)
        assert len(mesh_of({"resid.0": torch.zeros(3, 2)})["resid.0"]) == 3
        with pytest.raises(WrongUse, match="1 is no multiple of 2"), joined(columns=2):
            pass


def test_a_checkpoint_that_was_cut_is_refused(tmp_path):
    alone("sae", "topk", tmp_path / "one", until=2)
    file = tmp_path / "one" / "step-2.0-of-1.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(FormatError, match="bytes instead of"):
        open_checkpoint(tmp_path / "one")
    file.unlink()
    with pytest.raises(FormatError, match="no file 'step-2"):
        open_checkpoint(tmp_path / "one")
    file.write_bytes(content)
    with pytest.raises(FormatError, match="and not 60 to 69"):
        open_checkpoint(tmp_path / "one").rows("weights/blocks.0.W_enc", 60, 10)


def test_a_checkpoint_becomes_a_dictionary(tmp_path):
    alone("sae", "topk", tmp_path / "one", until=2)
    found = whole("sae", "topk", tmp_path / "one")
    same(load(save(found, tmp_path / "dictionary")), found, 0.0)
