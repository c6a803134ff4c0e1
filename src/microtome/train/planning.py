"""Planning: what a harvest and a training run take, by formulas, before anything runs.

Per process, with u units of width d here, t tokens of the batch here, k active units a token: parameters u · 2d, of
which weights, gradients and Adam's two moments are float32. Only the product that screens units, t · u · d, is dense;
everything else touches chosen places alone. The tests hold each formula to a small run.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from microtome.activations.coding import row_bytes
from microtome.activations.shards import TOLD_BYTES
from microtome.core.config import Config
from microtome.core.cost import Cost
from microtome.core.errors import WrongUse
from microtome.dictionary.choosing import rows_at_once
from microtome.dictionary.kernels.plain import SPARE, SPARE_SHARE
from microtome.dictionary.sparse import DENSE
from microtome.train.hardware import STEP, Hardware, hardware, measured
from microtome.train.trial import step_seconds

FLOAT = 4
# Float32 copies of a batch: rows, scaled and centred when units are screened; ŷ, residuals and their gradient later.
READ, DONE = 3.0, 6.5
# Times that all numbers of a batch are read or written in a step, products apart.
PASSES = 45
# Seconds that a step of the smallest dictionary takes, some hundred calls, where all the hardware does is attained.
CALLS = 1e-3
# Seconds that a step may take which is tried, by the rates of its parts, and the share of memory that it may fill.
TRIED, FILLED = 0.5, 0.25
# Bytes of a number of a model's weights: they are left as they were saved, and most were in bf16.
SAVED = 2
# Bytes of a place among the active: its number, dot, row, activation before and after, and their gradients.
PLACE = 48
MOST_COLUMNS = 1 << 16


@dataclass(frozen=True)
class PlanConfig(Config):
    """What is to be planned.

    Attributes:
        d: width of what is read, and of what is written.
        units: how many, of all processes.
        k: active units a token.
        tokens: to train on.
        batch: tokens a step, of all processes.
        aux_k: dead units that a token revives.
        dead: share of units that are dead, at the worst; memory is planned for it, work and hours for none.
        columns: processes over which units are divided; 0 for the fewest, a power of two, whose memory holds them.
        rows: processes over which a batch is divided, for each of those.
        parameters: of the model that is run, up to the site; 0 where activations are there already. Processes divide a
            harvest; where training streams, each of them holds the model and runs it over all texts.
        sites: that are harvested.
        distinct: tokens that are harvested and kept; 0 for as many as are trained on.
        dtype: in which activations are kept; `none` where training streams from the model.
    """

    d: int
    units: int
    k: int = 32
    tokens: int = 2_000_000
    batch: int = 4096
    aux_k: int = 256
    dead: float = 0.1
    columns: int = 1
    rows: int = 1
    parameters: float = 0.0
    sites: int = 1
    distinct: int = 0
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        least = {"d": 1, "units": 1, "k": 1, "tokens": 1, "batch": 1, "rows": 1, "sites": 1}
        low = [f"{name}={self.to_dict()[name]}" for name, bound in least.items() if self.to_dict()[name] < bound]
        if low or not 0 <= self.dead <= 1 or min(self.aux_k, self.columns, self.distinct, self.parameters) < 0:
            raise WrongUse(
                "plan a run", found=", ".join(low) or f"dead={self.dead}, or a number below zero",
                do="give sizes of at least 1, and a share of dead units between 0 and 1",
            )  # fmt: skip

    @property
    def units_here(self) -> int:
        """Units of a process."""
        return -(-self.units // self.columns)

    @property
    def batch_here(self) -> int:
        """Tokens of a batch that a process sees."""
        return -(-self.batch // self.rows)

    @property
    def steps(self) -> int:
        """Batches."""
        return max(1, self.tokens // self.batch)

    @property
    def parameters_here(self) -> int:
        """Numbers that a process trains."""
        return self.units_here * (2 * self.d + 1) + self.d

    @property
    def kept(self) -> int:
        """Tokens whose activations are harvested."""
        return self.tokens if self.streams else self.distinct or self.tokens

    @property
    def streams(self) -> bool:
        """Whether the model runs while training does."""
        return self.dtype == "none"

    @property
    def revived(self) -> int:
        """Dead units of a process, at the worst; 0 where nothing is done for them."""
        return round(self.dead * self.units_here) if self.aux_k else 0

    @property
    def dense_revival(self) -> bool:
        """Whether so many of the dead units are revived at a time that products with all of them are quicker."""
        return min(self.aux_k, self.revived) > DENSE * self.revived


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    Attributes:
        config: what was planned, `columns` being filled in.
        hardware: on which.
        cost: part by part.
    """

    config: PlanConfig
    hardware: Hardware
    cost: Cost

    @property
    def processes(self) -> int:
        """How many processors it takes."""
        return self.config.columns * self.config.rows

    @property
    def fits(self) -> bool:
        """Whether each processor's memory holds its part."""
        return self.cost.total("memory") <= self.hardware.memory

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "config": self.config.to_dict(),
            "hardware": self.hardware.to_dict(),
            "processes": self.processes,
            "fits": self.fits,
            "cost": self.cost.to_dict(),
        }

    def __str__(self) -> str:
        config, cost, machine = self.config, self.cost, self.hardware
        share = self.cost.total("memory") / machine.memory
        by = f"at {machine.attained:.0%} of what the hardware does"
        heads = {
            "memory": (f"memory of each process, {'' if self.fits else 'MORE THAN IT HAS: '}{share:.0%} of "
                       f"{_size(machine.memory, 'B')}", "B", 1.0),
            "disk": ("disk", "B", 1.0),
            "flops": ("work of all processes", "FLOP", 1.0),
            "wire": ("sent by each process", "B", 1.0),
            "seconds": (f"hours, {'by steps that were tried' if machine.name == 'here' else by}", "h", 3600.0),
        }  # fmt: skip
        lines = [
            f"{config.units:,} units of width {config.d:,}, k = {config.k}, {config.tokens:,} tokens in batches of "
            f"{config.batch:,}",
            f"on {self.processes} × {machine.name}: units over {config.columns}, batch over {config.rows} "
            f"({machine.source})",
        ]
        for kind, (title, unit, size) in heads.items():
            if parts := {name: value for name, value in cost.to_dict()[kind].items() if value}:
                lines.append(f"{title}: {_size(cost.total(kind) / size, unit)}")
                lines += [f"  {name}: {_size(value / size, unit)}" for name, value in parts.items()]
        return "\n".join(lines)


def plan(on: str | Hardware = "here", **settings: Any) -> Plan:
    """What a harvest and a training run would take, by formulas; on `here` a few steps are tried.

    Args:
        on: hardware by name (see `train.hardware`), `here` for this machine, which is measured and tried for some
            seconds, or figures of your own.
        settings: of `PlanConfig`: `d=8192, units=34_000_000, k=128, tokens=8_000_000_000, columns=0`.

    Raises:
        UnknownName: a setting, or hardware, that does not exist.
        WrongUse: a size out of range, or units that no number of processors holds.
    """
    config = PlanConfig.from_dict(settings)
    machine = _machine(on, config)
    if not config.columns:
        config = _held(config, machine)
    return Plan(config, machine, _cost(config, machine))


def _machine(on: str | Hardware, config: PlanConfig) -> Hardware:
    if isinstance(on, Hardware):
        return on
    return _tried(measured(config.d, config.units, config.k), config) if on == "here" else hardware(on)


def _tried(machine: Hardware, config: PlanConfig) -> Hardware:
    """This machine, and which share of its rates steps of about these sizes attain; the model has its own rate."""
    trial = _moment(PlanConfig(config.d, config.units, config.k, batch=config.batch_here), machine)
    said = _cost(trial, machine).total("seconds")
    attained = said / step_seconds(trial.d, trial.units, trial.k, trial.batch)
    return replace(machine, attained=attained, running=machine.running / attained)


def _moment(config: PlanConfig, machine: Hardware) -> PlanConfig:
    """One step of these sizes, which are halved, the larger first, until it is short and small."""
    units, batch = config.units, config.batch
    while True:
        trial = PlanConfig(config.d, units, min(config.k, units), tokens=batch, batch=batch)
        cost = _cost(trial, machine)
        if (cost.total("seconds") <= TRIED and cost.total("memory") <= FILLED * machine.memory) or units == batch == 1:
            return trial
        if units > max(batch, config.k / DENSE) or batch == 1:  # so many that few of them are active
            units //= 2
        else:
            batch //= 2


def _held(config: PlanConfig, machine: Hardware) -> PlanConfig:
    columns = 1
    while columns <= min(MOST_COLUMNS, config.units):
        tried = replace(config, columns=columns)
        if sum(memory_of(tried, machine).values()) <= machine.memory:
            return tried
        columns *= 2
    raise WrongUse(
        f"find processes enough for {config.units:,} units of width {config.d:,}",
        found=f"{'a model and a batch' if config.streams else 'a batch'} that leave no room in "
        f"{_size(machine.memory, 'B')}", do="give a smaller batch, or rows=, and harvest what a large model has first",
    )  # fmt: skip


def _cost(config: PlanConfig, machine: Hardware) -> Cost:
    worst = config
    config = replace(config, dead=0.0)
    flops, wire = flops_of(config), wire_of(config)
    bandwidth = machine.bandwidth * machine.attained
    columns = machine.near if config.columns <= machine.node else machine.far
    rows = machine.near if config.columns * config.rows <= machine.node else machine.far
    between_columns = wire["sums over units"] + wire["scores of candidates"]
    each = 1 / (machine.attained * config.columns * config.rows)
    scores = config.steps * config.batch * config.units
    seconds = {
        "running the model": flops["running the model"] / machine.running * each,
        "dense products": flops["dense products"] / machine.matmul * each,
        "screening": scores / machine.scores * each,
        "sparse products": flops["sparse products"] / 2 * FLOAT / machine.rows * each,
        "the batch": config.steps * PASSES * FLOAT * config.batch_here * config.d / bandwidth,
        "optimiser and gradients": config.steps * traffic_of(config, machine) / bandwidth,
        "calls": config.steps * CALLS / machine.attained,
        "sending": between_columns / (columns * machine.attained)
        + wire["means of gradients"] / (rows * machine.attained),
    }
    return Cost(memory_of(worst, machine), disk_of(config), flops, wire, seconds)


def memory_of(config: PlanConfig, machine: Hardware) -> dict[str, float]:
    """Bytes of one process at the fullest moment: all units are screened, dead ones are, or gradients are there.

    Of a model that streams, its weights; the rows that wait in its buffer are as many as `StreamConfig` allows.
    """
    parameters = config.parameters_here
    t = config.batch_here
    u = config.units_here
    d = config.d
    dead = config.revived
    batch = FLOAT * t * d
    places = PLACE * t * (config.k + min(config.aux_k, dead))
    # Dead units' gradients are made beside the others', and added.
    gradients = FLOAT * parameters * (2 if dead else 1)
    moments = [
        {"scores of all units": screening_bytes(t, u, d, machine), "the batch": READ * batch},
        {"gradients": float(gradients), "the batch": DONE * batch + places},
    ]
    if dead:
        scores = float(FLOAT * t * dead) if config.dense_revival else screening_bytes(t, dead, d, machine)
        moments.append({"scores of dead units": FLOAT * dead * d + scores, "the batch": DONE * batch + places})
    fullest = max(moments, key=lambda moment: sum(moment.values()))
    model = {"the model": float(SAVED * config.parameters)} if config.streams else {}
    return {"weights": float(FLOAT * parameters), "Adam's moments": 2.0 * FLOAT * parameters, **model, **fullest}


def screening_bytes(t: int, u: int, d: int, machine: Hardware) -> float:
    """Of read vectors and inputs in bf16, if so, and a part of their product; uncompiled, of its scores, twice."""
    part = min(t, rows_at_once(u, on_cpu=machine.compiled)) * u
    rounded = 0 if machine.screened == FLOAT else machine.screened * (u * d + t * d)
    return float(rounded + machine.screened * part + (0 if machine.compiled else 2 * FLOAT * part))


def disk_of(config: PlanConfig) -> dict[str, float]:
    """Bytes of the store, of a checkpoint, and of the dictionary."""
    parameters = config.units * (2 * config.d + 1) + config.d
    row = 0 if config.streams else TOLD_BYTES + config.sites * (row_bytes(config.d, config.dtype) + FLOAT)
    return {
        "activations": float(config.kept * row),
        "a checkpoint": float(3 * FLOAT * parameters + 8 * config.units),
        "the dictionary": float(FLOAT * parameters),
    }


def flops_of(config: PlanConfig) -> dict[str, float]:
    """Multiplications and additions of the run, of all processes.

    Sparse: exact scores of candidates; what active units write, with two gradients; the gradient of read vectors. Of
    dead units that are revived all of these are dense, with their own choice, where those are a large share of them.
    """
    tokens, d = config.steps * config.batch, config.d
    screened = min(config.k + math.ceil(SPARE_SHARE * config.k) + SPARE, config.units_here) * config.columns
    dead = config.revived * config.columns
    active = min(config.aux_k, config.revived * config.columns)
    revived = dead
    if config.dense_revival:
        revived = 5 * dead
        active = 0
    elif dead:
        screened += min(active + math.ceil(SPARE_SHARE * active) + SPARE, dead)
    sparse = 2 * tokens * d * (screened + 4 * (config.k + active))
    processes = config.columns * config.rows
    parameters = config.parameters_here * processes
    return {
        "running the model": 2.0 * config.parameters * config.kept * (processes if config.streams else 1),
        "dense products": 2.0 * tokens * d * (config.units + revived),
        "sparse products": float(sparse),
        "optimiser": 12.0 * config.steps * parameters,
    }


def wire_of(config: PlanConfig) -> dict[str, float]:
    """Bytes that each process sends in the run: by rings, 2 (n − 1) / n of what is added up; scores go to one each."""
    t = config.batch_here
    n = config.columns
    steps = config.steps
    ring = 2 * (n - 1) / n
    rounds = 2 if config.revived else 1
    scores = config.k + (config.aux_k if config.revived else 0) + 2 * rounds  # and a bar comes back
    means = 2 * (config.rows - 1) / config.rows * FLOAT * config.parameters_here
    return {
        "sums over units": steps * ring * FLOAT * (rounds * t * config.d + config.d),
        "scores of candidates": steps * (n - 1) / n * FLOAT * t * scores,
        "means of gradients": steps * means,
    }


def traffic_of(config: PlanConfig, machine: Hardware) -> float:
    """Bytes between memory and processor in a step of one process for what goes through all parameters.

    Beside Adam's step, lengths of write vectors are taken, and read vectors rounded where they are screened so.
    """
    rounded = 0 if machine.screened == FLOAT else FLOAT + 2 * machine.screened
    return float(STEP * config.parameters_here + (FLOAT + rounded) * config.units_here * config.d)


def _size(value: float, unit: str) -> str:
    if unit == "h":
        return f"{value:,.2f} h" if value >= 0.1 else f"{value * 60:,.2f} min"
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:,.2f} {prefix}{unit}"
    return f"{value:,.0f} {unit}"
