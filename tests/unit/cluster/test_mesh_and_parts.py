"""Places in a mesh, from torchrun or alone, and which part of some work is whose."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from microtome.cluster.collectives import reduced
from microtome.cluster.mesh import joined
from microtome.cluster.parts import dealt, part
from microtome.core.errors import WrongUse


def test_torchrun_starts_what_joins(tmp_path):
    script = str(Path(__file__).with_name("under_torchrun.py"))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [(tmp_path / str(rank)).read_text() for rank in (0, 1)]
    assert told == ["0 of 1, 0 of 2, 3", "0 of 1, 1 of 2, 3"]


def test_alone_there_is_one_place_and_it_is_left_again():
    with joined() as mesh:
        assert (mesh.rows, mesh.columns, mesh.row_rank, mesh.column_rank) == (1, 1, 0, 0)
        assert mesh.is_first
        assert dist.is_initialized()
    assert not dist.is_initialized()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the threads of a process")
def test_no_thread_of_gloo_outlives_a_mesh_that_is_still_held():
    with joined() as mesh:
        reduced(torch.ones(3), mesh.everyone, dist.ReduceOp.SUM)
        assert _threads() > 0
    assert _threads() == 0
    assert mesh.device.type == "cpu"


def _threads():
    """How many of this process's threads are gloo's, by the names that Linux keeps of them."""
    names = Path("/proc/self/task").glob("*/comm")
    return sum("gloo" in name.read_text() for name in names)


@pytest.mark.parametrize("columns", [0, 2])
def test_a_mesh_that_cannot_be_is_refused_and_left(columns):
    with pytest.raises(WrongUse, match=f"1 is no multiple of {columns}"), joined(columns):
        pass
    assert not dist.is_initialized()


@pytest.mark.parametrize("n, ranks", [(10, 4), (3, 3), (2, 4), (0, 2), (34_000_000, 7)])
def test_parts_follow_one_another_and_are_of_a_size(n, ranks):
    parts = [part(n, rank, ranks) for rank in range(ranks)]
    assert parts[0].start == 0
    assert parts[-1].stop == n
    assert [one.stop for one in parts[:-1]] == [one.start for one in parts[1:]]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_is_dealt_goes_to_one_each():
    hands = [list(dealt(iter(range(10)), rank, 4)) for rank in range(4)]
    assert hands == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]
