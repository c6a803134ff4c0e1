"""The settings of a trace, and all that it computes on the way to a graph."""

from dataclasses import dataclass

from microtome.circuit.attribution import DEFAULT_RULE, Scores
from microtome.circuit.change import Change
from microtome.circuit.edges import Chosen, EdgeMatrix
from microtome.circuit.question import Question
from microtome.core.config import Config
from microtome.core.errors import WrongUse


@dataclass(frozen=True)
class TraceConfig(Config):
    """Settings of a trace.

    Attributes:
        rule: by which units are ranked (`microtome list rule`).
        position: where the logits are read; negative from the end.
        node_share, edge_share: shares of influence that the drawn nodes and edges carry.
        ranked: how many candidates the ranking holds.
        most_edges: how many edges are drawn at most; weaker ones are folded into remainders.
    """

    rule: str = DEFAULT_RULE
    position: int = -1
    node_share: float = 0.8
    edge_share: float = 0.98
    ranked: int = 20_000
    most_edges: int = 5_000

    def __post_init__(self) -> None:
        shares = {"node_share": self.node_share, "edge_share": self.edge_share}
        counts = {"ranked": self.ranked, "most_edges": self.most_edges}
        wrong = [f"{name}={value:g}" for name, value in shares.items() if not 0 < value <= 1]
        wrong += [f"{name}={value}" for name, value in counts.items() if value < 1]
        if wrong:
            raise WrongUse(
                "set up a trace", found=", ".join(wrong), do="give shares above 0 and up to 1, and counts from 1 up"
            )


@dataclass(frozen=True)
class Traced:
    """Everything computed on the way to a graph."""

    question: Question
    flow: Change
    scores: Scores
    chosen: Chosen
    matrix: EdgeMatrix
