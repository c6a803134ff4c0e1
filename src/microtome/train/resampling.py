"""Resampling: dead units begin anew as inputs that the dictionary reconstructs badly.

Bricken et al. 2023, "Towards Monosemanticity", appendix on resampling: inputs are drawn with probability ∝ loss²; the
write vector points along one, the read vector too, with a fifth of the living units' mean length; the bias is zero
and Adam starts over. Here inputs are centred, as by a dictionary that takes b_dec off first. And where units compete
(TopK), one with so short a read vector would not win even its own input: it gets the whole mean length.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.dictionary.architecture import Moment
from microtome.dictionary.units import Units
from microtome.train.trainee import Rows, Trainee

READS = 0.2
BATCHES = 8  # fresh ones, among which inputs are drawn


@dataclass(frozen=True, eq=False)
class _Candidates:
    x: Float[Tensor, "t r d"]
    centred: Float[Tensor, "t r d"]
    y: Float[Tensor, "t w e"]
    odds: Float[Tensor, "t"]


def resample(trainee: Trainee, batches: Iterable[Rows], at: int) -> int:
    """Starts every dead unit anew; how many there were, in all processes.

    Args:
        trainee: whose units.
        batches: rows among which inputs are drawn.
        at: tokens learned so far.
    """
    _, n = trainee.team.place(int(trainee.dead.sum()))
    if not n:
        return 0
    with torch.no_grad():
        found = _candidates(trainee, batches, at)
        for units, gone in zip(trainee.dictionary.units, trainee.dead_blocks, strict=True):
            _renew(trainee, units, gone.nonzero()[:, 0], found)
    trainee.since = trainee.since.where(~trainee.dead, 0)
    return n


def _candidates(trainee: Trainee, batches: Iterable[Rows], at: int) -> _Candidates:
    moment = Moment(trainee.schedule.ramp(at), tuple(torch.zeros_like(gone) for gone in trainee.dead_blocks))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for rows in batches:
        x, y = trainee.rows(rows)
        own = trainee.team.part(len(x))
        y_hat = trainee.dictionary.architecture.outcome(trainee.dictionary, x[own], y[own], moment).y_hat
        odds = trainee.team.all_rows((y[own] - y_hat).square().sum((1, 2)).square())
        parts.append((x, y - trainee.dictionary.b_dec, odds))
    x, y, odds = (torch.cat([part[i] for part in parts]) for i in range(3))
    centre = trainee.dictionary.b_dec if trainee.dictionary.conventions.centred else x.mean(0)
    return _Candidates(x, x - centre, y, odds)


def _renew(trainee: Trainee, units: Units, which: Int[Tensor, "n"], found: _Candidates) -> None:
    """Starts some units of a block anew. Inputs are drawn for those of all processes, and each takes its own."""
    start, n = trainee.team.place(len(which))
    if not n:
        return
    own = slice(start, start + len(which))
    drawn = _drawn(found.odds, n, trainee.random).to(which.device)
    chosen = drawn[own]
    living = torch.ones(units.block.units, dtype=torch.bool, device=which.device)
    living[which] = False
    training = trainee.job.training
    norms = trainee.team.all_units(units.norms[living])
    writes = float(norms.mean()) if len(norms) else 1.0 if training.decoder == "unit" else training.length
    lengths = trainee.team.all_units(torch.linalg.vector_norm(units.W_enc[living], dim=1))
    reads = float(lengths.mean()) if len(lengths) else writes
    if units.W_dec.requires_grad:
        units.W_dec[which] = writes * _directions(found.y[chosen][:, list(units.block.writes)])
    units.W_enc[which] = READS * reads * _directions(units.read(found.centred[chosen]))
    units.b_enc[which] = 0.0
    for name, first in trainee.job.architecture.extras(units.block.units).items():
        if first.ndim:
            units.extra(name)[which] = first.to(which.device)[which]
    units.W_enc[which[~_fires(trainee, units, which, found.x[drawn], own)]] /= READS
    for parameter in units.parameters():
        for key in ("exp_avg", "exp_avg_sq"):
            if key in trainee.optimiser.state.get(parameter, {}) and parameter.ndim:
                trainee.optimiser.state[parameter][key][which] = 0.0


def _fires(
    trainee: Trainee, units: Units, which: Int[Tensor, "m"], x: Float[Tensor, "n r d"], own: slice
) -> Bool[Tensor, "m"]:
    """Whether each unit is active on its own input, all processes' inputs being one batch; `own` are the units' own."""
    dictionary = trainee.dictionary
    given = next(given for given in dictionary.given(x) if given[0] is units)
    active = dictionary.architecture.fit(*given)
    rows = active.picks.rows
    whose = torch.full((len(x),), -1, device=x.device)
    whose[own] = which
    found = active.firing & (active.picks.ids == whose[rows])
    return torch.zeros_like(whose, dtype=torch.bool).index_fill_(0, rows[found], True)[own]


def _drawn(odds: Float[Tensor, "t"], n: int, random: torch.Generator) -> Int[Tensor, "n"]:
    odds = odds.double().cpu()
    odds = odds / odds.max().clamp(min=1e-300) + 1e-12  # all of them can be drawn, where all are reconstructed well
    return torch.multinomial(odds, n, replacement=n > len(odds), generator=random)


def _directions(x: Tensor) -> Float[Tensor, "n d"]:
    flat = x.flatten(1)
    return flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp(min=1e-12)
