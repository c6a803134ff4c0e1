"""A trace in transcoders beside circuit-tracer's, in turn, on the same weights; then edge against edge.

python benchmarks/graphs.py            # the peer's environment is made by `make test-peers`

Both find the 4,096 units that matter most to the next token of a prompt of 35 tokens, and all edges among them, in the
same random transcoders: 4,096 units a layer, of which a token has 16. Each run is a process of its own; loading is not
counted, nor is what the model and the transcoders take. The two choose units by rules of their own, so edges are
compared on the peer's choice.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from memory import PeakAbove, touched
from safetensors.torch import load_file, save_file
from timing import machine
from torch import Tensor
from transformers import PreTrainedModel

import microtome as mt
from microtome.circuit.aiming import aim
from microtome.circuit.change import change
from microtome.circuit.columns import Columns
from microtome.circuit.edges import Chosen, EdgeMatrix, direct_edges
from microtome.circuit.naming import basis_of
from microtome.circuit.question import Question, ask
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Block, Geometry

HERE = Path(__file__).parent
PROMPT = (
    "When Mary and John went to the store on a sunny day in the middle of June, they bought a bottle of milk "
    "and some bread, and then John gave a drink to"
)
UNITS, K = 4096, 16
LARGE = 0.01
"""Of the largest edge: only from there on are edges compared one by one."""


def main() -> None:
    """Prints seconds and peak memory of both sides, and how far their edges differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=".peers/circuit_tracer/bin/python")
    parser.add_argument("--nodes", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=64, help="of the peer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--setup", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.setup:
        return print(json.dumps(traced(json.loads(asked.setup))))
    with tempfile.TemporaryDirectory() as folder:
        setup = prepared(Path(folder))
        setup |= {"nodes": asked.nodes, "batch": asked.batch, "threads": torch.get_num_threads()}
        sides = {
            "microtome": [sys.executable, __file__, "--setup"],
            "circuit-tracer": [asked.peer, str(HERE / "peers" / "circuit_tracer_graph.py")],
        }
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for _ in range(asked.rounds):
            for name, command in sides.items():
                run = subprocess.run([*command, json.dumps(setup)], check=True, capture_output=True, text=True)
                found[name].append(json.loads(run.stdout.splitlines()[-1]))
                print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
        report(asked, found)
        compare(setup)
    return None


def prepared(folder: Path) -> dict[str, Any]:
    """Weights that both sides read, and the model's folder as the peer's transformers wants it."""
    drawn = torch.Generator().manual_seed(0)
    model = mt.open("smollm2")
    sizes = model.anatomy.sizes
    read = torch.randn(model.n_layers, UNITS, sizes.d, generator=drawn) / sizes.d**0.5
    save_file({"W_enc": read, "W_dec": read * 0.1}, folder / "weights.safetensors")
    to = folder / "model"
    assert isinstance(model.module, PreTrainedModel)
    assert model.tokenizer is not None
    model.module.save_pretrained(to)
    model.tokenizer.save_pretrained(to)
    change_json(to / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    config = json.loads((to / "config.json").read_text())
    change_json(to / "config.json", rope_theta=config["rope_parameters"]["rope_theta"])
    names = {"model": str(to), "weights": str(folder / "weights.safetensors"), "out": str(folder / "peer.safetensors")}
    start = model.tokenizer.bos_token_id  # the peer has it before every prompt, whose activations there it leaves out
    return names | {"k": K, "tokens": [start, *model.batch(PROMPT).tokens[0]]}


def change_json(file: Path, **settings: Any) -> None:
    """Sets fields of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def transcoders(file: str) -> Dictionary:
    """The same weights as one dictionary: a block a layer."""
    weights = load_file(file)
    n, units, d = weights["W_enc"].shape
    geometry = Geometry(
        tuple(f"mlp.in.{layer}" for layer in range(n)), tuple(f"mlp.out.{layer}" for layer in range(n)), d, d,
        tuple(Block((layer,), (layer,), units) for layer in range(n)),
    )  # fmt: skip
    blocks = [
        Weights(read, torch.zeros(units), write) for read, write in zip(weights["W_enc"], weights["W_dec"], strict=True)
    ]
    parts = Parts(geometry, TopK(k=K, by_norm=False), Conventions(centred=False), blocks, torch.zeros(n, d))
    return assembled(parts, Path(file), "benchmark", {})


def traced(setup: dict[str, Any]) -> dict[str, Any]:
    """One trace of ours, and what it took."""
    torch.set_num_threads(setup["threads"])
    model, basis = mt.open(setup["model"], certify=False), transcoders(setup["weights"])
    touched(model.module, basis)
    trace = mt.trace  # imported on first use, before the clock starts
    with PeakAbove() as peak:
        start = time.perf_counter()
        graph = trace(model, setup["tokens"], basis=basis, max_nodes=setup["nodes"])
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": peak.bytes, "imbalance": graph.summary_numbers["largest_imbalance"]}


def report(asked: argparse.Namespace, found: dict[str, list[dict[str, Any]]]) -> None:
    """A line a side."""
    print(machine())
    print(f"36 tokens, {UNITS:,} units a layer, {asked.nodes:,} nodes, batches of {asked.batch} in the peer; medians")
    seconds = {name: statistics.median(one["seconds"] for one in runs) for name, runs in found.items()}
    peaks = {name: statistics.median(one["peak"] for one in runs) for name, runs in found.items()}
    for name in found:
        print(
            f"{seconds[name]:8.2f} s {seconds['circuit-tracer'] / seconds[name]:6.1f} x, "
            f"peak above model and transcoders {peaks[name] / 1e6:7,.0f} MB, "
            f"{peaks[name] / peaks['circuit-tracer']:.2f} of the peer's: {name}"
        )


def compare(setup: dict[str, Any]) -> None:
    """Our edges among the units that the peer chose, beside the peer's."""
    model, peer = mt.open(setup["model"], certify=False), load_file(setup["out"])
    units = basis_of(model, transcoders(setup["weights"]))
    question = ask(model, setup["tokens"], None, aim(model, setup["tokens"], None, None, -1), units)
    chosen, order = as_chosen(question, peer["features"])
    flow = change(question.clean, None, question.target)
    matrix = direct_edges(question.clean, flow, question.target, chosen)
    n = len(chosen)
    theirs = peer["edges"][torch.cat([order, torch.tensor([len(peer["edges"]) - len(peer["targets"])])])]
    places = columns_of_peer(matrix.columns, n, order)
    target = question.target.to_dict()["ids"]
    print(f"{n:,} units of the peer's choice; its first target is token {int(peer['targets'][0])}, ours {target}")
    for kind, (ours, where) in places.items():
        told(kind, matrix, ours, theirs[:, where])


def as_chosen(question: Question, features: Tensor) -> tuple[Chosen, Tensor]:
    """The peer's features (layer, position, unit) as our columns, and in which of its rows each stands."""
    layers, positions, ids = features.unbind(1)
    blocks = question.clean.blocks
    columns = torch.stack([
        torch.searchsorted(blocks[layer].ids - layer * UNITS, unit)
        for layer, unit in zip(layers.tolist(), ids, strict=True)
    ])  # fmt: skip
    width = max(len(block.ids) for block in blocks)
    order = ((layers * question.clean.frozen.n_positions + positions) * width + columns).argsort()
    return Chosen(layers[order], positions[order], columns[order]), order


def columns_of_peer(columns: Columns, n: int, order: Tensor) -> dict[str, tuple[slice, Tensor]]:
    """By kind, our columns and the peer's: features, then errors layer by layer, then tokens."""
    errors = columns.sizes["error"]
    return {
        "unit": (columns.slices["unit"], order),
        "error": (columns.slices["error"], torch.arange(n, n + errors)),
        "embedding": (columns.slices["embedding"], torch.arange(n + errors, n + errors + columns.positions)),
    }


def told(kind: str, matrix: EdgeMatrix, where: slice, theirs: Tensor) -> None:
    """How far edges from one kind of source differ, among units and to the target."""
    ours = matrix.terms[:, where].to(theirs)
    for name, rows in (("units", slice(None, -1)), ("target", slice(-1, None))):
        a, b = ours[rows], theirs[rows]
        most = float(b.abs().max())
        large = b.abs() > LARGE * most
        apart = ((a - b).abs() / b.abs())[large]
        print(
            f"{kind} to {name}: {int(large.sum()):,} edges over {LARGE:.0%} of the largest ({most:.3g}); "
            f"largest relative difference {float(apart.max()):.1e}, median {float(apart.median()):.1e}"
        )


if __name__ == "__main__":
    main()
