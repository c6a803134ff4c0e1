"""What every metric promises, whoever wrote it: a name, a docstring that warns, batches that do not matter, items."""

import inspect
import math
import re

import numpy as np
import torch

from microtome.bench.checks.battery import Battery, Check, Complaints
from microtome.bench.checks.feeding import Rows, T, feeder
from microtome.core.errors import UnknownName, WrongUse
from microtome.core.registry import Entry
from microtome.evidence.intervals import ratio_of_sums
from microtome.metrics.metric import METRICS, HasItems, Metric

# They match, or count, all that comes together: two dictionaries are no large one.
MATCHING = {"shared_fraction", "matched_cosine", "recovered_fraction", "split_fraction"}
# Shares of units in a window, not sums over documents.
OF_A_WINDOW = {"dead_fraction", "dense_fraction"}
Known = Entry[type[Metric]]


def fed(cls: type[Metric], chunk: int = T, order: Rows | None = None) -> Metric:
    """A metric that was given all the data, in batches of this size."""
    make, feed = feeder(cls)
    metric = make()
    for rows in (torch.arange(T) if order is None else order).split(chunk):
        feed(metric, rows)
    return metric


def says_what_it_is(entry: Known) -> Complaints:
    """Class, name, unit, direction, and the best value where there is a direction."""
    cls = entry.value
    if not (isinstance(cls, type) and issubclass(cls, Metric)):
        yield f"{cls!r} is no subclass of Metric"
        return
    if cls.name != entry.name or not re.fullmatch(r"[a-z][a-z0-9_]*", cls.name):
        yield f"it calls itself {cls.name!r}"
    if cls.better not in ("higher", "lower", "closer", "neither"):
        yield f"better = {cls.better!r}, where higher, lower, closer or neither belongs"
    if (cls.best is None) != (cls.better == "neither"):
        yield f"best = {cls.best}, and better = {cls.better!r}"
    if not cls.unit:
        yield "no unit"


def docstring_warns(entry: Known) -> Complaints:
    """Its docstring gives unit, range and direction, and says when it misleads."""
    cls = entry.value
    text = " ".join((inspect.getdoc(cls) or "").split())
    for other in re.findall(r"arnings of `(\w+)`", text):  # of one family, said once
        try:
            text += " ".join((inspect.getdoc(METRICS.get(other)) or "").split())
        except UnknownName:
            yield f"its docstring points to the warnings of {other!r}, which is no metric"
    for part in ("Unit: ", "Range: ", "When it misleads:"):
        if part not in text:
            yield f"its docstring has no {part.strip()!r}"
    direction = {"neither": "neither direction", "closer": "closer to 1"}.get(cls.better, cls.better) + " is better"
    if direction not in text.lower():
        yield f"its docstring does not say {direction!r}"


def plain_float(entry: Known) -> Complaints:
    """A value is a plain finite float."""
    value = fed(entry.value).value()
    if type(value) is not float or not math.isfinite(value):
        yield f"a value of {value!r}, a {type(value).__name__}"


def batches(entry: Known) -> Complaints:
    """How data are cut into batches does not matter."""
    whole = fed(entry.value).value()
    for chunk in [] if entry.name in MATCHING else [1, 7, 100]:
        yield from _other(f"in batches of {chunk}", fed(entry.value, chunk).value(), whole)


def order_of_tokens(entry: Known) -> Complaints:
    """The order of tokens does not matter."""
    order = torch.randperm(T, generator=torch.Generator().manual_seed(2))
    yield from _other("in another order", fed(entry.value, order=order).value(), fed(entry.value).value())


def items_add_up(entry: Known) -> Complaints:
    """What single items give is a ratio of sums that comes to the value."""
    metric = fed(entry.value)
    if not isinstance(metric, HasItems):
        if entry.name not in OF_A_WINDOW:
            yield "no per_item(): it can have no interval over documents"
        return
    items, above, below = metric.per_item()
    if (above.dtype, below.dtype) != (np.float64, np.float64):
        yield f"per_item() in {above.dtype} and {below.dtype}, not float64"
    if not (np.diff(items) > 0).all():
        yield "per_item() with items that do not rise"
    yield from _other("summed over items", ratio_of_sums(above, below, resamples=100).value, metric.value())


def asked_twice(entry: Known) -> Complaints:
    """Asking changes nothing, and what it gave may be changed."""
    metric = fed(entry.value)
    first = metric.value()
    if isinstance(metric, HasItems):
        metric.per_item().numerators[:] = 0
    if (second := metric.value()) != first:
        yield f"{first!r} when asked first, then {second!r}"


def nothing_added(entry: Known) -> Complaints:
    """Nothing added is an error that names it."""
    make, _ = feeder(entry.value)
    try:
        value = make().value()
    except WrongUse as error:
        if entry.name not in error.what:
            yield f"its error does not name it: {error.what}"
    else:
        yield f"a value of {value!r} where nothing was added"


def _other(how: str, found: float, expected: float) -> Complaints:
    if not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12):
        yield f"{found!r} {how}, and {expected!r} at once"


BATTERY: Battery[Known] = Battery(
    "metric",
    (
        Check("it says what it is", says_what_it_is),
        Check("its docstring warns", docstring_warns),
        Check("a value is a plain finite float", plain_float),
        Check("batches do not matter", batches),
        Check("the order of tokens does not matter", order_of_tokens),
        Check("items add up to the value", items_add_up),
        Check("asking twice changes nothing", asked_twice),
        Check("nothing added is an error that names it", nothing_added),
    ),
    lambda entry: entry,
)
