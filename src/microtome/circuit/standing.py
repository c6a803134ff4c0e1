"""What stands at a place of a frozen prompt, and how what is read there is pulled onto the stream."""

from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.places import Place, place_of
from microtome.model.frozen import Frozen
from microtome.model.norms import Norm


def standing(frozen: Frozen, site: str) -> Float[Tensor, "p _"]:
    """What stands at a site on a prompt; of heads, all of a layer side by side."""
    place = place_of(site, len(frozen.layers))
    if place.layer == len(frozen.layers):
        return frozen.final
    layer = frozen.layers[place.layer]
    match place.kind:
        case "resid":
            return layer.stream
        case "attn.in":
            return layer.attention.given
        case "attn.heads":
            return layer.attention.heads
        case "attn.out":
            return layer.attention.out
        case "resid_mid":
            return layer.between
        case "mlp.in":
            return layer.mlp_in
    return layer.mlp_out


def norm_before(frozen: Frozen, place: Place) -> tuple[Norm | None, Tensor | None]:
    """The norm between the stream and what is read at a place, and its scale."""
    if place.kind == "mlp.in":
        return frozen.layers[place.layer].layer.mlp_norm, frozen.layers[place.layer].mlp_scale
    if place.kind == "attn.in":
        return frozen.layers[place.layer].layer.attn_norm, frozen.layers[place.layer].attention.scale
    return None, None


def onto_stream(
    frozen: Frozen, place: Place, vectors: Float[Tensor, "n d"], positions: Int[Tensor, "n"] | slice
) -> Float[Tensor, "n w"]:
    """Vectors on what is read, as vectors on the stream before its norm; of heads, as `push_heads` scales them."""
    if place.kind == "attn.heads":
        return vectors / frozen.layers[place.layer].attention.heads_scale[positions]
    norm, scale = norm_before(frozen, place)
    return vectors if norm is None or scale is None else norm.pull(vectors, scale[positions])
