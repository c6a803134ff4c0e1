"""How a trace ranks units, and at how many of these its circuit is proved, where nobody says."""

from typing import TYPE_CHECKING

from microtome.cli.options import SIZES

if TYPE_CHECKING:  # it comes with torch, and help does not wait for that
    from microtome.circuit.traced import TraceConfig


def ranked_by(rule: str | None) -> "TraceConfig":
    """The settings of a trace by that rule, or by the default one."""
    from microtome.circuit.traced import TraceConfig

    return TraceConfig() if rule is None else TraceConfig(rule=rule)


def usual_sizes(ranked: int) -> tuple[int, ...]:
    """The usual numbers, as far as so many ranked units go; half of these where none does."""
    return tuple(size for size in SIZES if size < ranked) or (max(1, ranked // 2),)
