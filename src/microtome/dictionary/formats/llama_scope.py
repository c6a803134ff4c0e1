"""Llama Scope: `hyperparams.json` beside `checkpoints/final.safetensors`, of Llama 3.1 8B; SAEs and transcoders.

He et al. 2024, arXiv:2410.20526. Trained with TopK on inputs scaled to a norm of √d, and used with JumpReLU: scales are
folded and write vectors brought to length 1 first, and only then do units have the one threshold of the settings.
"""

import math
from pathlib import Path

import torch

from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.formats.llamascopium import own_weights, placed
from microtome.dictionary.settings import Settings, settings
from microtome.dictionary.tensors import safetensors

SETTINGS, WEIGHTS = "hyperparams.json", Path("checkpoints", "final.safetensors")


@FORMATS.register("llama-scope", summary="Llama Scope: SAEs and transcoders of Llama 3.1 8B")
class LlamaScope(Format):
    """A folder a dictionary."""

    def recognises(self, path: Path) -> bool:
        """By the names of its files."""
        return (path / SETTINGS).is_file() or (path / WEIGHTS).is_file()

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        says = settings(path / SETTINGS)
        says.one_of("act_fn", ("jumprelu", "topk"))
        says.one_of("norm_activation", ("dataset-wise",))
        threshold = _above_zero(says, "jump_relu_threshold")
        d = says.size("d_model")
        norms = says.part("dataset_average_activation_norm")
        s_in, s_out = (math.sqrt(d) / _above_zero(norms, end) for end in ("in", "out"))
        found = safetensors(path / WEIGHTS, {"d": d, "units": says.size("d_sae")})
        own, b_dec = own_weights(found, says)
        b_enc, W_dec = own.b_enc / s_in, own.W_dec * (s_in / s_out)
        lengths = torch.ones_like(b_enc)
        if says.get("sparsity_include_decoder_norm", bool, True):
            lengths = torch.linalg.vector_norm(W_dec, dim=1).clamp(min=1e-12)
        extras = {"threshold": torch.full_like(b_enc, threshold)}
        weights = Weights(own.W_enc * lengths[:, None], b_enc * lengths, W_dec / lengths[:, None], extras)
        geometry = placed(path, sites, (says.get("hook_point_in", str), says.get("hook_point_out", str)), found)
        centred = says.get("apply_decoder_bias_to_pre_encoder", bool, False)
        if centred and not geometry.autoencodes:
            raise says.refusal(
                "apply_decoder_bias_to_pre_encoder", "true for a transcoder", "its bias is of the site that it writes"
            )
        parts = Parts(geometry, JumpReLU(), Conventions(centred=centred), [weights], (b_dec / s_out)[None])
        return assembled(parts, path, "llama-scope", says.values, "meta-llama/Llama-3.1-8B")


def _above_zero(says: Settings, name: str) -> float:
    found = says.get(name, float)
    if not 0 < found < math.inf:
        raise says.refusal(name, str(found), "a number above zero belongs there")
    return found
