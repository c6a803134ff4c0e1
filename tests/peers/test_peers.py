"""Other tools, installed as PyPI has them, and microtome make the same of the same dictionaries, whoever wrote them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import exchanged
from microtome.dictionary.folding import of_unit_length
from microtome.dictionary.loading import load_dictionary, save_as

HERE = Path(__file__).parent
PEERS = ("saelens", "sparsify", "dictionary_learning", "circuit_tracer")
OURS = {"saelens": exchanged.for_saelens, "circuit_tracer": exchanged.for_circuit_tracer}

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]


def run(peer: str, what: str, folder: Path) -> None:
    python = HERE.parents[1] / ".peers" / peer / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{peer} is not installed: `make test-peers` installs it")
    script = HERE / f"peer_{peer}.py"
    done = subprocess.run([python, script, what, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("peer", PEERS)
def test_what_they_write_is_read_here(peer, tmp_path):
    run(peer, "make", tmp_path)
    found = {name: exchanged.difference(exchanged.loaded(tmp_path, name), tmp_path / f"{name}.npz")
             for name in exchanged.cases(tmp_path)}  # fmt: skip
    assert found
    print(peer, {name: f"{max(apart):.0e}" for name, apart in found.items()})
    assert {name: apart for name, apart in found.items() if max(apart) > exchanged.TOLERANCE} == {}


@pytest.mark.parametrize("peer", OURS)
def test_what_is_written_here_they_read(peer, tmp_path):
    ours = OURS[peer]()
    for name, dictionary in ours.items():
        save_as(dictionary, tmp_path / name, format=peer.replace("_", "-"))
        np.save(tmp_path / f"{name}.x.npy", exchanged.inputs(dictionary).numpy())
    run(peer, "read", tmp_path)
    found = {
        name: exchanged.difference(exchanged.as_written(dictionary), tmp_path / f"{name}.npz")
        for name, dictionary in ours.items()
    }
    print(peer, {name: f"{max(apart):.0e}" for name, apart in found.items()})
    assert {name: apart for name, apart in found.items() if max(apart) > exchanged.TOLERANCE} == {}


def test_their_loader_that_folds_lengths_is_ours_and_a_fold(tmp_path):
    """dictionary_learning's `load_dictionary` gives an `AutoEncoder` write vectors of length 1."""
    run("dictionary_learning", "make", tmp_path)
    folded = of_unit_length(load_dictionary(tmp_path / "standard"))
    apart = exchanged.difference(folded, tmp_path / "standard_as_loaded" / "kept.npz")
    assert max(apart) <= exchanged.TOLERANCE
