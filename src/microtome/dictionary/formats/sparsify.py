"""sparsify (EleutherAI): a folder a hookpoint, `cfg.json` beside `sae.safetensors`; TopK, also as a transcoder.

A transcoder is named after the module whose input it reads and whose output it writes.
"""

from pathlib import Path

from microtome.core.errors import NotSupported
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.assembling import Parts, Weights, assembled
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.foreign_sites import READ_BY, GivenSites, name_of, site_of
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import sae, transcoder
from microtome.dictionary.settings import settings
from microtome.dictionary.tensors import safetensors

SETTINGS, WEIGHTS = "cfg.json", "sae.safetensors"


@FORMATS.register("sparsify", summary="sparsify: TopK SAEs, transcoders and skip transcoders")
class Sparsify(Format):
    """A folder a dictionary, named after its hookpoint."""

    def recognises(self, path: Path) -> bool:
        """By the name of the weights."""
        return (path / WEIGHTS).is_file() or path.name == WEIGHTS

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        folder = path.parent if path.is_file() else path
        says = settings(folder / SETTINGS)
        d = says.size("d_in")
        units = says.size("num_latents") if says.values.get("num_latents") else d * says.size("expansion_factor")
        found = safetensors(folder / WEIGHTS, {"d": d, "units": units})
        skip, transcodes = says.get("skip_connection", bool, False), says.get("transcode", bool, False)
        found.nothing_but(("encoder.weight", "encoder.bias", "W_dec", "b_dec", *(("W_skip",) if skip else ())))
        if says.get("activation", str, "topk") != "topk" or says.get("signed", bool, False):
            raise NotSupported(
                f"read the dictionary {folder}", found="units that are chosen group by group, or active below zero",
                do="use sparsify itself for it; here activations are the largest above zero",
            )  # fmt: skip
        k = says.size("k")
        if k > units:
            raise says.refusal("k", f"{k} of {units} units", "no more than there are can be active")
        name = folder.absolute().name
        if transcodes:
            writes = site_of(name)
            kind, _, layer = (writes or "").rpartition(".")
            reads = f"{READ_BY[kind]}.{layer}" if kind in READ_BY else None
            hook = None if reads is None else name_of(reads)
            geometry = transcoder(*sites.transcoder(path, hook, name), d, d, units)
        else:
            geometry = sae(sites.autoencoder(path, name), d, units)
        weights = Weights(
            found.take("encoder.weight", "units", "d"), found.take("encoder.bias", "units"),
            found.take("W_dec", "units", "d"),
        )  # fmt: skip
        skips = [found.take("W_skip", "d", "d")] if skip else []
        conventions = Conventions(centred=not transcodes, skip=skip)
        b_dec = found.take("b_dec", "d")[None]
        parts = Parts(geometry, TopK(k=k, by_norm=False), conventions, [weights], b_dec, skips)
        return assembled(parts, folder, "sparsify", says.values)
