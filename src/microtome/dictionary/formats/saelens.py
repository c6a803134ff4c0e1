"""SAELens (version 6, and the flat settings before it): `cfg.json` beside `sae_weights.safetensors`.

Activations are its own: where it selects by pre-activation × length of the write vector, it also says activations in
that unit, so that lengths are folded when such a file is read.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from microtome.core.artefact import write_json
from microtome.core.errors import FormatError, NotSupported
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.batchtopk import BatchTopK
from microtome.dictionary.architectures.gated import Gated
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.matryoshka import Matryoshka
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled, bounds, thresholds
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.folding import of_unit_length
from microtome.dictionary.foreign_sites import GivenSites, name_of
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import Geometry, sae, transcoder
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import Tensors, safetensors

SETTINGS, WEIGHTS, SCALE = "cfg.json", "sae_weights.safetensors", "activation_scaler.json"
VERSION = "6.54.12"
"""Of the layout that is written."""

ONE_HEAD = ("hook_head_index", "hook_point_head_index")  # as it is called, and was before version 6

Made = tuple[Architecture, dict[str, Tensor]]
NORMALISED = {"none": "no", "expected_average_only_in": "no", "constant_norm_rescale": "length", "layer_norm": "layer"}
NOT_EXPRESSIBLE = {
    "abstopk": "units that are active below zero",
    "temporal": "activations that depend on the tokens before",
    "matching_pursuit": "units chosen one after another by what is left",
}


def _relu(says: Settings, found: Tensors) -> Made:
    return ReLU(), {}


def _jumprelu(says: Settings, found: Tensors) -> Made:
    if "log_threshold" in found:  # training files of earlier versions
        return JumpReLU(), {"threshold": found.take("log_threshold", "units").exp()}
    return JumpReLU(), thresholds(found.take("threshold", "units"))


def _gated(says: Settings, found: Tensors) -> Made:
    return Gated(), {"r_mag": found.take("r_mag", "units"), "b_mag": found.take("b_mag", "units")}


def _topk(says: Settings, found: Tensors) -> Made:
    k = says.size("k") if "k" in says else says.part("activation_fn_kwargs").size("k")
    if k > found.sizes["units"]:
        raise says.refusal("k", f"{k} of {found.sizes['units']} units", "no more than there are can be active")
    return TopK(k=k, by_norm=says.get("rescale_acts_by_decoder_norm", bool, False)), {}


def _batchtopk(says: Settings, found: Tensors) -> Made:
    made = BatchTopK(k=_mean_k(says), by_norm=says.get("rescale_acts_by_decoder_norm", bool, True))
    return made, {"threshold": torch.tensor(float(found.number("topk_threshold")))}


def _matryoshka(says: Settings, found: Tensors) -> Made:
    _, extras = _batchtopk(says, found)
    widths = says.get("matryoshka_widths", list)
    units = found.sizes["units"]
    levels = tuple(width / units for width in widths if isinstance(width, int) and 0 < width < units)
    by_norm = says.get("rescale_acts_by_decoder_norm", bool, True)
    return Matryoshka(k=_mean_k(says), by_norm=by_norm, levels=(*sorted(set(levels)), 1.0)), extras


def _mean_k(says: Settings) -> float:
    k = says.get("k", float)
    if not k > 0:
        raise says.refusal("k", str(k), "a number above zero belongs there")
    return k


READERS: dict[str, Callable[[Settings, Tensors], Made]] = {
    "standard": _relu, "jumprelu": _jumprelu, "gated": _gated, "topk": _topk, "batchtopk": _batchtopk,
    "matryoshka_batchtopk": _matryoshka, "transcoder": _relu, "skip_transcoder": _relu,
    "jumprelu_transcoder": _jumprelu, "jumprelu_skip_transcoder": _jumprelu,
}  # fmt: skip


@FORMATS.register("saelens", summary="SAELens 6: SAEs and transcoders of its architectures; read and written")
class SAELens(Format):
    """A folder a dictionary."""

    writes = True

    def recognises(self, path: Path) -> bool:
        """By the name of the weights, which Llamascopium has too: beside other settings."""
        folder = path.parent if path.name == WEIGHTS else path
        return (folder / WEIGHTS).is_file() and (
            (folder / SETTINGS).is_file() or not (folder / "config.json").is_file()
        )

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        folder = path.parent if path.is_file() else path
        says = settings(folder / SETTINGS)
        kind = _kind(says)
        found = safetensors(folder / WEIGHTS, {"d": says.size("d_in"), "units": says.size("d_sae")})
        found.nothing_but(_known(kind, found))
        is_transcoder = "transcoder" in kind
        found.sizes["e"] = says.size("d_out") if is_transcoder else found.sizes["d"]
        architecture, extras = READERS[kind](says, found)
        b_enc = found.take("b_gate" if kind == "gated" else "b_enc", "units")
        W_enc = found.take("W_enc", "d", "units").T
        W_dec = found.take("W_dec", "units", "e")
        b_dec = found.take("b_dec", "e")
        skips = [found.take("W_skip", "e", "d")] if "W_skip" in found else []
        scale = _scale(folder, says)
        if scale != 1.0:  # what it was trained on was `scale` times its inputs
            W_enc = W_enc * scale
            W_dec = W_dec / scale
            b_dec = b_dec / scale
            if isinstance(architecture, BatchTopK) and architecture.by_norm:
                extras = {"threshold": extras["threshold"] / scale}
        weights = Weights(W_enc, b_enc, W_dec, extras)
        geometry = _geometry(path, says, found, sites, is_transcoder)
        conventions = _conventions(says, is_transcoder, bool(skips))
        parts = Parts(geometry, architecture, conventions, [weights], b_dec[None], skips)
        made = assembled(parts, folder, "saelens", says.values, _metadata(says).text("model_name"))
        return of_unit_length(made) if isinstance(architecture, TopK | BatchTopK) and architecture.by_norm else made

    def write(self, dictionary: Dictionary, path: Path) -> Path:
        """See `Format.write`. GivenSites units are chosen by lengths, these are folded first."""
        if isinstance(dictionary.architecture, TopK) and dictionary.architecture.by_norm:
            dictionary = of_unit_length(dictionary)
        content = _said(dictionary)
        save_file(_tensors(dictionary), path / WEIGHTS)
        write_json(path / SETTINGS, content)
        return path


def _kind(says: Settings) -> str:
    kind = says.get("architecture", str, "standard")
    activation = says.get("activation_fn", str, says.get("activation_fn_str", str, "relu"))
    if kind in NOT_EXPRESSIBLE or activation not in ("relu", "topk"):
        raise NotSupported(
            f"read the dictionary {says.path.parent}",
            found=f"the architecture {kind!r}: {NOT_EXPRESSIBLE.get(kind, f'the activation {activation!r}')}",
            do="use SAELens itself for it",
        )
    if kind == "standard" and activation == "topk":
        return "topk"
    return says.one_of("architecture", tuple(READERS), "standard")


def _known(kind: str, found: Tensors) -> list[str]:
    own = {
        "gated": ["b_gate", "r_mag", "b_mag"], "jumprelu": ["b_enc", "threshold", "log_threshold"],
        "batchtopk": ["b_enc", "topk_threshold"], "matryoshka_batchtopk": ["b_enc", "topk_threshold"],
    }  # fmt: skip
    more = own["jumprelu"] if kind.startswith("jumprelu") else own.get(kind, ["b_enc"])
    skip = ["W_skip"] if "skip" in kind else []
    if "skip" in kind and "W_skip" not in found:
        raise found.refusal("no tensor W_skip")
    if "scaling_factor" in found and bool((found.take("scaling_factor", "units") == 1.0).all()):
        more = [*more, "scaling_factor"]  # earlier versions kept it, all ones
    return ["W_enc", "W_dec", "b_dec", *more, *skip]


def _metadata(says: Settings) -> Settings:
    return says.part("metadata") if "metadata" in says else says  # flat before version 6


def _geometry(path: Path, says: Settings, found: Tensors, sites: GivenSites, is_transcoder: bool) -> Geometry:
    data = _metadata(says)
    for name in ONE_HEAD:
        for part in (data, says):
            if name in part:
                raise NotSupported(
                    f"read the dictionary {path}", found=f"units that read head {part.values[name]} alone",
                    do="use SAELens itself for it",
                )  # fmt: skip
    name = data.text("hf_hook_name") or data.text("hook_name") or data.text("hook_point")
    d, e, units = (found.sizes[letter] for letter in ("d", "e", "units"))
    if not is_transcoder:
        return sae(sites.autoencoder(path, name), d, units)
    target = data.text("hf_hook_name_out") or data.text("hook_name_out")
    return transcoder(*sites.transcoder(path, name, target), d, e, units)


def _conventions(says: Settings, is_transcoder: bool, skip: bool) -> Conventions:
    how = _normalised(says)
    centred = says.get("apply_b_dec_to_input", bool, not is_transcoder)
    if how not in NORMALISED or (is_transcoder and NORMALISED[how] != "no"):
        raise NotSupported(
            f"read the dictionary {says.path.parent}", found=f"inputs normalised by {how!r}",
            do="fold it into the weights with SAELens and save the dictionary again",
        )  # fmt: skip
    if is_transcoder and centred:
        raise says.refusal("apply_b_dec_to_input", "true for a transcoder", "its b_dec is of the site that it writes")
    return Conventions.from_dict({"centred": centred, "normalised": NORMALISED[how], "skip": skip})


def _normalised(says: Settings) -> str:
    """How inputs are normalised, in the words of version 6; earlier ones only said whether."""
    if isinstance(given := says.values.get("normalize_activations"), bool):
        return "expected_average_only_in" if given else "none"
    return says.get("normalize_activations", str, "none")


def _scale(folder: Path, says: Settings) -> float:
    """By what inputs are multiplied before they are read; in a finished dictionary it is folded already."""
    if _normalised(says) != "expected_average_only_in":
        return 1.0
    if not (folder / SCALE).is_file():
        raise FormatError(
            f"read the dictionary {folder}", found=f"inputs that were scaled by a factor, and no {SCALE} that says it",
            do="save it with SAELens once training is over, or put that file of the checkpoint beside it",
        )  # fmt: skip
    beside = settings(folder / SCALE)
    factor = beside.get("scaling_factor", float)
    if not 0 < factor < float("inf"):
        raise beside.refusal("scaling_factor", str(factor), "a number above zero belongs there")
    return factor


def _said(dictionary: Dictionary) -> dict[str, object]:
    """What `cfg.json` says of a dictionary, where SAELens has such a one."""
    geometry, conventions, architecture = dictionary.geometry, dictionary.conventions, dictionary.architecture
    is_transcoder = not geometry.autoencodes or conventions.skip
    kind = {"relu": "standard", "batchtopk": "jumprelu", "matryoshka": "jumprelu"}.get(
        architecture.name, architecture.name
    )
    if is_transcoder:
        kind = {"standard": "transcoder", "jumprelu": "jumprelu_transcoder"}.get(kind, f"{kind} transcoder")
        kind = kind.replace("transcoder", "skip_transcoder") if conventions.skip else kind
    lacking = kind not in READERS
    if lacking or len(geometry.sites) > 1 + (not geometry.autoencodes) or len(geometry.blocks) > 1:
        raise _not_written(dictionary, f"a {kind.replace('_', ' ')}" if lacking else f"a {geometry.kind}")
    if is_transcoder and (conventions.normalised != "no" or conventions.centred):
        raise _not_written(dictionary, "a transcoder or skip whose inputs are centred or normalised")
    (reads,), (writes,) = dictionary.reads, dictionary.writes
    hooks = {"hook_name": _hook(dictionary, reads)} | (
        {"hook_name_out": _hook(dictionary, writes)} if is_transcoder else {}
    )
    k = min(architecture.k, geometry.n_units) if isinstance(architecture, TopK) else None  # SAELens reads no larger one
    normalised = {"no": "none", "length": "constant_norm_rescale", "layer": "layer_norm"}
    model = {} if dictionary.card is None else dictionary.card.model
    return {
        "architecture": kind, "d_in": geometry.d_in, "d_sae": geometry.n_units,
        "dtype": str(dictionary.b_dec.dtype).removeprefix("torch."), "device": "cpu",
        "apply_b_dec_to_input": conventions.centred,
        "normalize_activations": normalised[conventions.normalised],
        "reshape_activations": "hook_z" if reads.startswith("attn.heads.") else "none",
        **({"d_out": geometry.d_out} if is_transcoder else {}),
        **({"k": k, "rescale_acts_by_decoder_norm": False} if isinstance(architecture, TopK) else {}),
        "metadata": {
            "sae_lens_version": VERSION, "sae_lens_training_version": None, "model_name": model.get("name"), **hooks,
            "microtome": None if dictionary.card is None else dictionary.card.to_dict(),
        },
    }  # fmt: skip


def _tensors(dictionary: Dictionary) -> dict[str, Tensor]:
    (units,) = dictionary.units
    named = {"W_enc": units.W_enc.T, "W_dec": units.W_dec, "b_dec": dictionary.b_dec[0]}
    if isinstance(dictionary.architecture, Gated):
        named |= {"b_gate": units.b_enc, "r_mag": units.extra("r_mag"), "b_mag": units.extra("b_mag")}
    else:
        named["b_enc"] = units.b_enc
    if (
        not isinstance(dictionary.architecture, TopK | Gated)
        and (bound := bounds(dictionary.architecture, units)) is not None
    ):
        named["threshold"] = bound
    if dictionary.W_skip is not None:
        named["W_skip"] = dictionary.W_skip
    return {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}


def _hook(dictionary: Dictionary, site: str) -> str:
    found = name_of(site)
    if found is None:
        raise _not_written(dictionary, f"a dictionary at {site}, where TransformerLens has no hook")
    return found


def _not_written(dictionary: Dictionary, what: str) -> NotSupported:
    return NotSupported(
        f"write {dictionary} for SAELens", found=f"{what}, which SAELens does not have",
        do="keep it in microtome's own format, or write transcoders of all layers for circuit-tracer",
    )  # fmt: skip
