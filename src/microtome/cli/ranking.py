"""The rule that `--rule` names, as the settings of a trace."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it comes with torch, and help does not wait for that
    from microtome.circuit.traced import TraceConfig


def ranked_by(rule: str | None) -> "TraceConfig":
    """The settings of a trace by that rule, or by the default one."""
    from microtome.circuit.traced import TraceConfig

    return TraceConfig() if rule is None else TraceConfig(rule=rule)
