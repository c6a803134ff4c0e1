"""Qwen-Scope: a file a layer of TopK SAEs, `layer12.sae.pt`, on the stream after the layer.

Nothing is taken off inputs, and the largest pre-activations are active as they are; here, those of them above zero,
which all are where units are many. How many is in no file: it is read off the release's name, `…-L0_50`.
"""

import re
from pathlib import Path

from microtome.core.errors import FormatError
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import sae
from microtome.dictionary.tensors import Tensors, pickled

LAYER = re.compile(r"layer(\d+)\.sae\.pt")
RELEASE = re.compile(r"(?:^|[/-])SAE-Res-(.+?)-W\d+K-L0_(\d+)(?:/|$)")
ACTIVE = re.compile(r"L0_(\d+)")


@FORMATS.register("qwen-scope", summary="Qwen-Scope: TopK SAEs of Qwen3 and Qwen3.5, a file a layer")
class QwenScope(Format):
    """A file a dictionary."""

    def recognises(self, path: Path) -> bool:
        """By the name of the file, or by such files in a folder."""
        return bool(LAYER.fullmatch(path.name)) if path.is_file() else bool(_files(path))

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        file = path
        if path.is_dir():
            files = _files(path)
            if len(files) != 1:
                shown = ", ".join(one.name for one in files[:3])
                raise FormatError(
                    f"read the dictionary {path}", found=f"{len(files)} dictionaries: {shown}, …",
                    do=f"name one of them: {path / 'layer12.sae.pt'}",
                )  # fmt: skip
            (file,) = files
        match = LAYER.fullmatch(file.name)
        found = pickled(file).nothing_but(("W_enc", "W_dec", "b_enc", "b_dec"))
        W_enc = found.take("W_enc", "units", "d")
        weights = Weights(W_enc, found.take("b_enc", "units"), found.take("W_dec", "d", "units").T)
        k = _k(file, found)
        hook = f"blocks.{match[1]}.hook_resid_post" if match else None
        geometry = sae(sites.autoencoder(path, hook), found.sizes["d"], found.sizes["units"])
        b_dec = found.take("b_dec", "d")[None]
        parts = Parts(geometry, TopK(k=k, by_norm=False), Conventions(centred=False), [weights], b_dec)
        release = RELEASE.search(file.absolute().as_posix())
        return assembled(parts, file, "qwen-scope", {"k": k}, f"Qwen/{release[1]}" if release else None)


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if LAYER.fullmatch(one.name)) if folder.is_dir() else []


def _k(file: Path, found: Tensors) -> int:
    """How many units are active, which only the name of the release says."""
    named = ACTIVE.findall(file.absolute().parent.as_posix())
    if not named:
        raise FormatError(
            f"read the dictionary {file}", found="no number of active units, which is in the release's name alone",
            do="put the file into a folder that is named as the release is, such as SAE-Res-Qwen3-8B-Base-W64K-L0_50",
        )  # fmt: skip
    k = int(named[-1])
    if not 0 < k <= found.sizes["units"]:
        raise found.refusal(f"{found.sizes['units']} units, where the folder's name has L0_{k}")
    return k
