"""OpenAI's sparse_autoencoder: one `.pt` file of tensors with the name of its activation.

Gao et al. 2024, arXiv:2406.04093. Its TopK autoencoders normalise each token and turn it back; those with a ReLU do
not. It does not say where it stands.
"""

from collections.abc import Mapping
from pathlib import Path

from microtome.core.errors import FormatError, NotSupported
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import sae
from microtome.dictionary.tensors import Tensors, pickled, shapes_in

TIED = "decoder.linear.weight"  # the encoder's own, a second time
STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
ACTIVATION = ("activation", "activation_state_dict", "activation.k", "activation.postact_fn")  # some of it twice
KNOWN = ("pre_bias", "latent_bias", "encoder.weight", "decoder.weight", TIED, *ACTIVATION, *STATISTICS)


@FORMATS.register("openai", summary="OpenAI's sparse_autoencoder: TopK and ReLU (.pt)")
class OpenAI(Format):
    """A file a dictionary."""

    def recognises(self, path: Path) -> bool:
        """By the bias that it takes off first; one that cannot be read is taken for one, which reading it says."""
        if not path.is_file() or path.suffix != ".pt" or path.name == "ae.pt":
            return False
        shapes = shapes_in(path)
        return shapes is None or "pre_bias" in shapes

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        if path.is_dir():
            raise FormatError(f"read the dictionary {path}", found="a folder", do="name the .pt file in it")
        found = pickled(path).nothing_but(KNOWN)
        W_enc = found.take("encoder.weight", "units", "d")
        architecture = _architecture(found)
        tied = TIED in found and "decoder.weight" not in found
        W_dec = found.take(TIED, "units", "d") if tied else found.take("decoder.weight", "d", "units").T
        geometry = sae(sites.autoencoder(path, None), found.sizes["d"], found.sizes["units"])
        conventions = Conventions(centred=True, normalised="layer" if isinstance(architecture, TopK) else "no")
        weights = Weights(W_enc, found.take("latent_bias", "units"), W_dec)
        parts = Parts(geometry, architecture, conventions, [weights], found.take("pre_bias", "d")[None])
        return assembled(parts, path, "openai", {"activation": architecture.name})


def _architecture(found: Tensors) -> Architecture:
    name = found.value("activation") if "activation" in found else "ReLU"
    if name == "ReLU":
        return ReLU()
    says = found.value("activation_state_dict")
    if name != "TopK" or not isinstance(says, Mapping):
        raise found.refusal(f"the activation {name!r}, or no settings of it")
    inside = Tensors(found.path, {str(key): value for key, value in says.items()})
    if inside.value("postact_fn") != "ReLU":
        raise NotSupported(
            f"read the dictionary {found.path}", found=f"{inside.value('postact_fn')!r} after the choice of units",
            do="use its own code for it; here activations are above zero",
        )  # fmt: skip
    k = inside.whole("k")
    if k > found.sizes["units"]:
        raise found.refusal(f"k = {k} of {found.sizes['units']} units")
    return TopK(k=k, by_norm=False)
