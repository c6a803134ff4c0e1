"""What every architecture promises, on every geometry: SAE, transcoder, crosscoder, cross-layer transcoder, a set.

Inputs have a mean far from zero, so that a bias that is forgotten shows.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.bench.checks.battery import Battery, Check, Complaints, apart
from microtome.core.errors import WrongUse
from microtome.core.registry import Entry
from microtome.dictionary.architecture import Architecture, Moment
from microtome.dictionary.codes import Codes
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.folding import for_raw_inputs, of_unit_length
from microtome.dictionary.geometry import Geometry, cross_layer, crosscoder, layer_by_layer, sae, transcoder
from microtome.dictionary.saving import load, save
from microtome.dictionary.starting import untrained

UNITS, D = 32, 8
MLPS = ("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1")
GEOMETRIES: dict[str, Geometry] = {
    "sae": sae("resid.0", D, UNITS),
    "transcoder": transcoder("mlp.in.0", "mlp.out.0", D, D + 1, UNITS),
    "skip transcoder": transcoder("mlp.in.0", "mlp.out.0", D, D + 1, UNITS),
    "crosscoder": crosscoder(("resid.0", "resid.1"), D, UNITS),
    "clt": cross_layer(*MLPS, D, D, UNITS),
    "skip set": layer_by_layer(*MLPS, D, D + 1, UNITS),
}
Examined = Callable[[Dictionary], Complaints]


def example(architecture: Architecture, geometry: str) -> Dictionary:
    """A random dictionary in float64: nothing at a value where mistakes cancel, no unit as long as another."""
    conventions = Conventions(GEOMETRIES[geometry].autoencodes, "no", skip="skip" in geometry)
    made = untrained(GEOMETRIES[geometry], architecture, conventions, seed=0, length=0.7).double()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return made


def batch(dictionary: Dictionary, n: int = 40) -> tuple[Float[Tensor, "n r d"], Float[Tensor, "n w e"]]:
    """Inputs, and what is to be reconstructed."""
    random = torch.Generator().manual_seed(2)
    geometry = dictionary.geometry
    x = 1.0 + torch.randn(n, len(geometry.reads), geometry.d_in, generator=random, dtype=torch.float64)
    y = 2.0 + torch.randn(n, len(geometry.writes), geometry.d_out, generator=random, dtype=torch.float64)
    return x, (x if geometry.autoencodes else y)


def moment(dictionary: Dictionary) -> Moment:
    """A third of the units are dead."""
    return Moment(0.7, tuple(torch.arange(units.block.units) % 3 == 0 for units in dictionary.units))


def is_one(entry: Entry[type[Architecture]]) -> Complaints:
    """Its class, its name, its settings for tests."""
    cls = entry.value
    if not (isinstance(cls, type) and issubclass(cls, Architecture)):
        yield f"{cls!r} is no subclass of Architecture"
    elif cls.name != entry.name:
        yield f"the class calls itself {cls.name!r}"
    elif type(tiny := cls.tiny()) is not cls:
        yield f"tiny() gives a {type(tiny).__name__}"


def every_parameter_learns(dictionary: Dictionary) -> Complaints:
    """What is trained has a finite gradient that is not zero everywhere."""
    outcome = dictionary.architecture.outcome(dictionary, *batch(dictionary), moment(dictionary))
    if not bool(torch.isfinite(outcome.loss)):
        yield f"a loss of {float(outcome.loss)}"
        return
    outcome.loss.backward()
    for name, one in dictionary.named_parameters():
        if not one.requires_grad:
            continue
        if one.grad is None or not bool(one.grad.any()):
            yield f"{name} has no gradient"
        elif not bool(torch.isfinite(one.grad).all()):
            yield f"{name} has a gradient that is not finite"


def tokens_are_apart(dictionary: Dictionary) -> Complaints:
    """In inference a token's codes depend on that token alone."""
    x, y = batch(dictionary)
    dictionary.architecture.settle(dictionary.architecture.outcome(dictionary, x, y, moment(dictionary)))
    for name, threshold in dictionary.named_parameters():
        if name.endswith("threshold") and not threshold.ndim:
            threshold.detach().mul_(0.99)  # off the very activation that it was set to
    given = x.squeeze(1)
    alone = torch.stack([dictionary.encode(token).dense() for token in given])
    yield from apart("codes of a token alone and in a batch", dictionary.encode(given).dense(), alone)


def codes_have_their_sign(dictionary: Dictionary) -> Complaints:
    """No zeros are kept, signs are as the class says, and codes know the shape of the batch."""
    x = batch(dictionary)[0].squeeze(1)
    given = x.view(4, 10, *x.shape[1:])
    codes = dictionary.encode(given)
    if codes.shape != (4, 10) or codes.n_units != dictionary.n_units:
        yield f"codes of shape {tuple(codes.shape)} over {codes.n_units} units"
    if not bool((codes.values != 0).all()) or not bool((codes.values > 0).any()):
        yield "codes that hold zeros, or none above zero"
    signed = dictionary.architecture.signed
    if bool((codes.values < 0).any()) != signed:
        yield f"codes {'never' if signed else 'also'} below zero, and signed = {signed}"
    order = (codes.picks.rows * codes.n_units + codes.ids).argsort()
    if not torch.equal(Codes.of(codes.dense()).ids, codes.picks.ids[order]):
        yield "codes that are others once dense"
    if dictionary.reconstruct(given).shape[:2] != (4, 10):
        yield "a reconstruction of another batch shape"


def decoding_is_affine(dictionary: Dictionary) -> Complaints:
    """Half of the codes, half of the way."""
    codes = dictionary.encode(batch(dictionary)[0].squeeze(1))
    none = codes.where(torch.zeros_like(codes.ids, dtype=torch.bool))
    half = Codes(codes.ids, codes.values / 2, codes.offsets, codes.shape, codes.n_units)
    middle = (dictionary.decode(codes) + dictionary.decode(none)) / 2
    yield from apart("decoding half of the codes", dictionary.decode(half), middle)


def folding_lengths(dictionary: Dictionary) -> Complaints:
    """Write vectors of length 1, and the same output."""
    x = batch(dictionary)[0].squeeze(1)
    folded = of_unit_length(dictionary)
    if not all(torch.allclose(units.norms, torch.ones_like(units.norms)) for units in folded.units):
        yield "lengths that are not 1 after folding"
    yield from apart("outputs after folding lengths", folded.reconstruct(x), dictionary.reconstruct(x))
    if not torch.equal(folded.encode(x).ids, dictionary.encode(x).ids):
        yield "other units are active after folding lengths"


def folding_scales(dictionary: Dictionary) -> Complaints:
    """Trained on scaled inputs, it says the same of raw ones."""
    x = batch(dictionary)[0]
    geometry = dictionary.geometry
    reads = [3.0 + i for i in range(len(geometry.reads))]
    writes = reads if geometry.autoencodes else [0.2 * (i + 1) for i in range(len(geometry.writes))]
    s_in, s_out = (torch.tensor(s, dtype=torch.float64)[:, None] for s in (reads, writes))
    expected = dictionary.reconstruct((x * s_in).squeeze(1)).view(len(x), len(writes), -1) / s_out
    folded = for_raw_inputs(dictionary, reads, writes)
    yield from apart("outputs after folding scales", folded.reconstruct(x.squeeze(1)), expected.squeeze(1))


def firing_places(dictionary: Dictionary) -> Complaints:
    """`activate` and `encode` agree on what fires."""
    x = batch(dictionary)[0]
    active = [dictionary.architecture.activate(*given) for given in dictionary.given(x)]
    firing, n_codes = sum(int(one.firing.sum()) for one in active), len(dictionary.encode(x.squeeze(1)).ids)
    if firing != n_codes:
        yield f"{firing} places fire, and {n_codes} codes"


def fixed_writes(dictionary: Dictionary) -> Complaints:
    """No gradient reaches write vectors that are fixed; every other parameter gets its own; saved, they are fixed."""
    conventions = replace(dictionary.conventions, fixed_writes=True)
    fixed = Dictionary(dictionary.geometry, dictionary.architecture, conventions).double()
    fixed.load_state_dict(dictionary.state_dict())
    for made in (dictionary, fixed):
        made.architecture.outcome(made, *batch(made), moment(made)).loss.backward()
    for (name, free), held in zip(dictionary.named_parameters(), fixed.parameters(), strict=True):
        if name.endswith("W_dec") and held.grad is not None:
            yield f"{name} is fixed, and has a gradient"
        elif not name.endswith("W_dec") and free.requires_grad and free.grad is not None:
            if held.grad is None:
                yield f"{name} has no gradient where write vectors are fixed"
            else:
                yield from apart(f"the gradient of {name} with fixed write vectors", held.grad, free.grad)
    again = _saved(of_unit_length(fixed).float())
    if not again.conventions.fixed_writes or any(units.W_dec.requires_grad for units in again.units):
        yield "write vectors that are no longer fixed after saving"
    if not all(units.W_enc.requires_grad for units in again.units):
        yield "read vectors that are fixed after saving"


def saving(dictionary: Dictionary) -> Complaints:
    """What is saved comes back."""
    x = batch(dictionary)[0].squeeze(1).float()
    again = _saved(dictionary.float())
    if again.architecture != dictionary.architecture:
        yield f"saved as {dictionary.architecture}, read as {again.architecture}"
    if (again.geometry, again.conventions) != (dictionary.geometry, dictionary.conventions):
        yield "another geometry or other conventions after saving"
    yield from apart("outputs after saving", again.reconstruct(x), dictionary.reconstruct(x), 0.0, 0.0)


def no_rows(dictionary: Dictionary) -> Complaints:
    """No rows have no codes, in float32 and float64."""
    given = batch(dictionary)[0].squeeze(1)[:1]
    wide = dictionary.reconstruct(given).shape[1:]
    for shape in ((0,), (2, 0)):
        none = given.new_zeros(*shape, *given.shape[1:])
        for made, x in ((dictionary.double(), none), (dictionary.float(), none.float())):
            codes = made.encode(x)
            if (tuple(codes.shape), len(codes.ids)) != (shape, 0):
                yield f"codes of shape {tuple(codes.shape)} for rows {list(shape)}"
            if made.reconstruct(x).shape != (*shape, *wide):
                yield f"a reconstruction of shape {list(made.reconstruct(x).shape)} for rows {list(shape)}"


def rows_without_a_number(dictionary: Dictionary) -> Complaints:
    """NaN and infinity are refused, with the rows that hold them."""
    x = batch(dictionary)[0].squeeze(1)
    x[[3, 7], ..., 2] = torch.tensor([torch.nan, torch.inf], dtype=x.dtype).view(2, *[1] * (x.ndim - 2))
    for given, named in ((x, "3, 7"), (x.view(4, 10, *x.shape[1:]), "(0, 3), (0, 7)"), (x[3], "it")):
        rows = "it" if named == "it" else f"2 of 40 rows ({named})"
        try:
            dictionary.reconstruct(given)
        except WrongUse as error:
            if error.found != f"NaN or infinite numbers in {rows}":
                yield f"NaN in {rows} is refused with other words: {error.found}"
        else:
            yield f"NaN in {rows} is taken for a number"


def _saved(dictionary: Dictionary) -> Dictionary:
    with tempfile.TemporaryDirectory() as folder:
        return load(save(dictionary, Path(folder) / "dictionary"))


def _everywhere(examined: Examined) -> Callable[[Entry[type[Architecture]]], Iterator[str]]:
    """The same on every geometry, each with a dictionary of its own."""

    def complaints(entry: Entry[type[Architecture]]) -> Complaints:
        for name in GEOMETRIES:
            yield from (f"{name}: {one}" for one in examined(example(entry.value.tiny(), name)))

    return complaints


PROMISES: dict[str, Examined] = {
    "every parameter learns": every_parameter_learns,
    "a token does not change its neighbours": tokens_are_apart,
    "codes have their sign and know their batch": codes_have_their_sign,
    "decoding is affine": decoding_is_affine,
    "folding lengths changes no output": folding_lengths,
    "folding the scale of inputs changes no output": folding_scales,
    "places that fire are those of the codes": firing_places,
    "fixed writes stay as they were drawn": fixed_writes,
    "what is saved comes back": saving,
    "no rows have no codes": no_rows,
    "rows without a number are refused by name": rows_without_a_number,
}
BATTERY: Battery[Entry[type[Architecture]]] = Battery(
    "architecture",
    (
        Check("it is an architecture of its name", is_one),
        *(Check(name, _everywhere(examined)) for name, examined in PROMISES.items()),
    ),
    lambda entry: entry,
)
