"""Runs a function in several processes that find one another over gloo, and gives back what each returned.

The processes are forked from one server that has imported what is large already, so that a run takes about a second.
It has not imported microtome: numba's threads would not outlive a fork. Calls are checked for shapes as in the tests.
"""

import multiprocessing
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numba  # noqa: F401
import safetensors.torch  # noqa: F401
import torch._dynamo
import torch.distributed.device_mesh  # noqa: F401
from jaxtyping import install_import_hook

install_import_hook("microtome", "beartype.beartype")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["several_ranks"])


def on_ranks(ranks: int, folder: Path, work: Callable[..., Any], *given: Any) -> list[Any]:
    """`work(*given)` in so many processes; what it returns must be plain values."""
    _start_server()
    answers = CONTEXT.SimpleQueue()
    store = folder / f"store-{ranks}-{work.__name__}-{len(list(folder.iterdir()))}"
    processes = [
        CONTEXT.Process(target=_one, args=(rank, ranks, str(store), answers, work, given)) for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    told: dict[int, tuple[bool, Any]] = {}
    while len(told) < ranks:
        ended = [process.exitcode for process in processes if process.exitcode]
        if not answers.empty():
            rank, answer = answers.get()
            told[rank] = answer
        elif ended:
            break
        time.sleep(0.005)
    for process in processes:
        if len(told) < ranks:
            process.terminate()
        process.join()
    failed = [answer for _, (ok, answer) in sorted(told.items()) if not ok]
    assert not failed, "\n".join(failed)
    assert len(told) == ranks, f"processes ended with {[process.exitcode for process in processes]}"
    return [told[rank][1] for rank in range(ranks)]


def _start_server() -> None:
    """It has to find this module, and on Python before 3.13 it is not told where its parent looks for modules."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _one(rank: int, ranks: int, store: str, answers: Any, work: Callable[..., Any], given: tuple[Any, ...]) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    os.environ["LOCAL_RANK"] = str(rank)
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
        answers.put((rank, (True, work(*given))))
    except BaseException:  # noqa: BLE001 - told to the test, which raises it
        answers.put((rank, (False, traceback.format_exc())))
        os._exit(1)  # the others may be waiting for this one: their connection breaks, and they end too
    dist.destroy_process_group()
