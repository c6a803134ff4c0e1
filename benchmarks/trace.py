"""Seconds and peak memory of opening, tracing and proving on SmolLM2; each case in a process of its own.

python benchmarks/trace.py
"""

import resource
import subprocess
import sys
import time

from timing import machine

import microtome as mt

SHORT = "The capital of France is", "The capital of Germany is"
LONG = (
    "When Mary and John went to the store on a sunny day in the middle of June, they bought a bottle of milk "
    "and some bread, and then John gave a drink to"
)
CASES = ("open", "short", "long", "prove")


def main() -> None:
    """Runs each case, or all of them one after another."""
    if len(sys.argv) == 2:
        return run(sys.argv[1])
    print(machine(), flush=True)
    for case in CASES:
        subprocess.run([sys.executable, __file__, case], check=True)
    return None


def run(case: str) -> None:
    """One case; the model is opened before the clock starts, but for `open`."""
    opening = mt.open  # imported on first use, before the clock starts
    start = time.perf_counter()
    model = opening("smollm2")
    opened = time.perf_counter() - start
    start = time.perf_counter()
    if case == "open":
        return told("opening what was opened before, imports apart", opened)
    if case == "long":
        graph = mt.trace(model, LONG, max_nodes=4096)
        return told(f"trace of {len(graph.tokens)} tokens, 4,096 nodes, no counterfactual", since(start), graph)
    graph = mt.trace(model, SHORT[0], counterfactual=SHORT[1], target=" Paris", against=" Berlin")
    if case == "short":
        return told(f"trace of {len(graph.tokens)} tokens, 1,024 nodes, against a counterfactual", since(start), graph)
    start = time.perf_counter()
    mt.prove(model, graph)
    return told("proof of that graph, 4 sizes, 20 draws", since(start))


def since(start: float) -> float:
    """Seconds."""
    return time.perf_counter() - start


def told(what: str, seconds: float, graph: mt.Graph | None = None) -> None:
    """One line."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    note = "" if graph is None else f", largest imbalance {graph.summary_numbers['largest_imbalance']:.1e}"
    print(f"{seconds:7.2f} s, peak {peak:.2f} GB: {what}{note}", flush=True)


if __name__ == "__main__":
    main()
