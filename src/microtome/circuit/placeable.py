"""Whether the units of a dictionary have a place in the graphs of a model, and why not."""

from microtome.circuit.places import WRITTEN, Place, leaving, listed, place_of, reading
from microtome.core.errors import NotSupported, WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.model.model import Model


def stream_place(site: str, n_layers: int) -> Place:
    """Where what is written at a site enters the stream: heads do so as what attention adds."""
    place = place_of(site, n_layers)
    return Place(place.layer, "attn.out") if place.kind == "attn.heads" else place


def require_places(dictionary: Dictionary, model: Model) -> None:
    """Raises unless every unit of a dictionary has its place in the graphs of a model.

    Raises:
        NotSupported: units at a site that a graph does not pass, or that read above where they write; a skip that
            leads elsewhere than past one MLP.
        WrongUse: sites that this model does not have.
    """
    what, n_layers = f"take {dictionary} as a basis of {model.name!r}", model.n_layers
    beyond = [site for site in dictionary.geometry.sites if not _exists(place_of(site, n_layers), model)]
    if beyond:
        found = f"units at {beyond[0]}, and a model of {n_layers} layers" + _without_middle(beyond[0])
        raise WrongUse(what, found=found, do="give a dictionary of this model")
    for number in range(len(dictionary.geometry.blocks)):
        _require_upwards(what, dictionary, number, model)
    _require_past_an_mlp(what, dictionary)


def _exists(place: Place, model: Model) -> bool:
    if place.kind == "resid_mid" and model.anatomy.parallel:
        return False
    return place.layer < model.n_layers + (place.kind == "resid")


def _without_middle(site: str) -> str:
    return " whose branches may stand side by side" if site.startswith("resid_mid") else ""


def _require_upwards(what: str, dictionary: Dictionary, number: int, model: Model) -> None:
    block, parallel = dictionary.geometry.blocks[number], model.anatomy.parallel
    reads = [place_of(dictionary.reads[one], model.n_layers) for one in block.reads]
    writes = [stream_place(dictionary.writes[one], model.n_layers) for one in block.writes]
    if wrong := [one for one in writes if one.kind not in WRITTEN]:
        raise NotSupported(
            what,
            found=f"units that write {listed(wrong)}, which a norm parts from the stream",
            do="give a dictionary that writes the stream, or what attention or an MLP adds to it",
        )
    if max(reading(one, parallel=parallel) for one in reads) > min(leaving(one) for one in writes):
        raise NotSupported(
            what,
            found=f"units (block {number}) that read {listed(reads)} and write {listed(writes)}: some of what they "
            "read lies above some of what they write, so that their values would depend on themselves",
            do="give units that read nothing above what they write: an SAE, a transcoder, a cross-layer transcoder",
        )


def _require_past_an_mlp(what: str, dictionary: Dictionary) -> None:
    if dictionary.W_skip is None:
        return
    pairs = list(zip(dictionary.reads, dictionary.writes, strict=False))
    matched = all(read.replace("mlp.in.", "mlp.out.") == write != read for read, write in pairs)
    if not matched or len(dictionary.reads) != len(dictionary.writes):
        raise NotSupported(
            what,
            found=f"a skip from {', '.join(dictionary.reads[:3])} to {', '.join(dictionary.writes[:3])}",
            do="give a dictionary whose skip leads from mlp.in.L to mlp.out.L",
        )
