"""Where the claims of a ledger stand, beside each other: many claims at once find some by chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from microtome.core.counting import counted
from microtome.evidence.claim import State, Statement, Told, p_value, smallest_p
from microtome.evidence.false_discovery import benjamini_hochberg
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import ROUNDING
from microtome.evidence.record import plain


@dataclass(frozen=True)
class Standing:
    """A claim and what became of it.

    Attributes:
        name: of the claim.
        statement: what was claimed and predicted, before it was measured.
        state: `open`, `supported`, `contradicted` or `cannot be told`.
        why: in words.
        measured: every measurement of what was predicted, in the order in which they were made.
        p: its smallest p-value, times the number of measurements among which it was the smallest; None where there
            is none (an interval decides, or the claim is that there is little to find).
        adjusted: the same beside all other claims that have one (Benjamini-Hochberg).
        smallest: the smallest p-value that its draws allow.
    """

    name: str
    statement: Statement
    state: State
    why: str
    measured: tuple[Measurement, ...] = ()
    p: float | None = None
    adjusted: float | None = None
    smallest: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return plain(self)


def standing(name: str, statement: Statement, measured: Sequence[Measurement]) -> Standing:
    """Where a claim stands by itself."""
    if not measured:
        return Standing(name, statement, "open", "not measured yet")
    told = [statement.tested_by(one) for one in measured]
    state, why = _together(told)
    tested = [one for one in measured if statement.must_beat_nulls(one) and p_value(one) is not None]
    p = min((p_value(one) or 1.0 for one in tested), default=None)
    return Standing(
        name, statement, state, why, tuple(measured),
        p=None if p is None else min(1.0, p * len(measured)),
        smallest=max((smallest_p(one) or 0.0 for one in tested), default=None),
    )  # fmt: skip


def beside_each_other(alone: Sequence[Standing], rate: float) -> list[Standing]:
    """The same with p-values adjusted; a claim whose own no longer comes to `rate` cannot be told."""
    with_p = [one for one in alone if one.p is not None]
    if not with_p:
        return list(alone)
    adjusted = benjamini_hochberg([one.p or 1.0 for one in with_p])
    by_name = {one.name: float(p) for one, p in zip(with_p, adjusted, strict=True)}
    return [_adjusted(one, by_name[one.name], rate, len(with_p)) if one.name in by_name else one for one in alone]


def _adjusted(one: Standing, adjusted: float, rate: float, n: int) -> Standing:
    one = replace(one, adjusted=adjusted)
    if one.state != "supported" or adjusted <= rate + ROUNDING:
        return one
    why = f"p={one.p:.2g} becomes {adjusted:.2g} beside {counted(n, 'claim')}, above {rate:g}"
    return replace(one, state="cannot be told", why=why)


def _together(told: Sequence[Told]) -> Told:
    """Measurements that decide must agree; those that do not decide are counted and no more."""
    decided = [one for one in told if one.state != "cannot be told"]
    if len({one.state for one in decided}) > 1:
        return Told("cannot be told", f"its {len(told)} measurements disagree")
    last = decided[-1] if decided else told[-1]
    if len(told) == 1:
        return last
    how_many = counted(len(told), "measurement")
    if decided:
        how_many = f"{len(decided)} of {how_many}"
    return Told(last.state, f"{last.why} ({how_many})")
