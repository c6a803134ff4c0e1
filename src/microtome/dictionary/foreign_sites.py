"""GivenSites other tools say that a dictionary stands, and the sites of ours: one table, read both ways.

Only what is the same tensor in every family is in it. `ln2.hook_normalized` is not: it is what leaves a norm before
its gain, where `mlp.in` is after it; `hook_mlp_in` is before the norm in TransformerLens and after it in some
configurations; `hook_embed` lacks learned positions; what follows the last layer is `resid.final` here. Files with
such a name are read where the user says which site it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from microtome.core.errors import WrongUse

# Theirs, ours, and what is to be added to the layer. The first row of a site is the one that we write.
TABLE: tuple[tuple[str, str, int], ...] = (
    ("blocks.{}.hook_resid_pre", "resid", 0),
    ("blocks.{}.hook_resid_post", "resid", 1),
    ("blocks.{}.hook_resid_mid", "resid_mid", 0),
    ("blocks.{}.attn.hook_z", "attn.heads", 0),
    ("blocks.{}.hook_attn_out", "attn.out", 0),
    ("blocks.{}.mlp.hook_in", "mlp.in", 0),
    ("blocks.{}.mlp.hook_pre", "mlp.gate", 0),
    ("blocks.{}.mlp.hook_pre_linear", "mlp.up", 0),
    ("blocks.{}.mlp.hook_post", "mlp.neurons", 0),
    ("blocks.{}.hook_mlp_out", "mlp.out", 0),
    # Equal to hook_mlp_out except where a norm follows the MLP; sets for such models name hook_mlp_out.
    ("blocks.{}.mlp.hook_out", "mlp.out", 0),
    # Modules of transformers, by their outputs.
    ("model.layers.{}.output", "resid", 1),
    ("model.layers.{}.pre_feedforward_layernorm.output", "mlp.in", 0),
    ("model.layers.{}.post_feedforward_layernorm.output", "mlp.out", 0),
    ("model.layers.{}.self_attn.o_proj.input", "attn.heads", 0),
    ("layers.{}", "resid", 1),
    ("layers.{}.mlp", "mlp.out", 0),
    ("layers.{}.self_attn", "attn.out", 0),
    ("model.layers.{}", "resid", 1),
    ("model.layers.{}.mlp", "mlp.out", 0),
    ("model.layers.{}.self_attn", "attn.out", 0),
    ("h.{}", "resid", 1),
    ("h.{}.mlp", "mlp.out", 0),
    ("h.{}.attn", "attn.out", 0),
    ("transformer.h.{}", "resid", 1),
    ("transformer.h.{}.mlp", "mlp.out", 0),
    ("transformer.h.{}.attn", "attn.out", 0),
    ("gpt_neox.layers.{}", "resid", 1),
    ("gpt_neox.layers.{}.mlp", "mlp.out", 0),
    ("gpt_neox.layers.{}.attention", "attn.out", 0),
    ("resid_pre_layer_{}", "resid", 0),
    ("resid_post_layer_{}", "resid", 1),
)
READ_BY = {"mlp.out": "mlp.in", "attn.out": "attn.in"}
"""What a module reads, by what it writes: for transcoders that are named after the module."""


def site_of(name: str | None) -> str | None:
    """The site that a name of another tool stands for; None where it stands for none exactly."""
    for theirs, ours, more in TABLE:
        if name and (match := re.fullmatch(re.escape(theirs).replace(r"\{\}", r"(\d{1,4})"), name)):
            return f"{ours}.{int(match[1]) + more}"
    return None


def name_of(site: str) -> str | None:
    """What TransformerLens calls a site; None where it has no such hook."""
    kind, _, layer = site.rpartition(".")
    for theirs, ours, more in TABLE:
        if ours == kind and layer.isdigit() and not more:
            return theirs.format(layer)
    return None


@dataclass(frozen=True)
class GivenSites:
    """Sites that the user named; they count before those of a file.

    Attributes:
        reads, writes: the sites, or a pattern such as `mlp.in.*`: of a set every layer, of one dictionary the layer
            that its file names. None leaves it to the file.
    """

    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None

    def autoencoder(self, path: Path, name: str | None) -> str:
        """The one site that is read and written.

        Raises:
            WrongUse: neither the user nor the file says which, or the user says two.
        """
        (site,) = _settled("reads", _of_one(self.reads, path, name), path, [name])
        if self.writes is not None and self.writes != (site,):
            raise WrongUse(
                f"load the dictionary {path}", found=f"reads {site} and writes {', '.join(self.writes)}",
                do="leave `writes` out: these units write what they read",
            )  # fmt: skip
        return site

    def transcoder(self, path: Path, name: str | None, target: str | None) -> tuple[str, str]:
        """The one site that is read, and the one that is written; `name` and `target` is what the file calls them."""
        (reads,) = _settled("reads", _of_one(self.reads, path, name), path, [name])
        (writes,) = _settled("writes", _of_one(self.writes, path, target or name), path, [target])
        return reads, writes

    def read(self, path: Path, names: Sequence[str | None]) -> tuple[str, ...]:
        """The sites that are read; `names` is what the file calls them."""
        return _settled("reads", self.reads, path, names)

    def written(self, path: Path, names: Sequence[str | None]) -> tuple[str, ...]:
        """The sites that are written; see `read`."""
        return _settled("writes", self.writes, path, names)


def _of_one(given: tuple[str, ...] | None, path: Path, name: str | None) -> tuple[str, ...] | None:
    """The sites given for one dictionary; a pattern stands for the layer that the file itself names.

    Raises:
        WrongUse: it names none, or several numbers of which each might be meant.
    """
    if given is None or len(given) != 1 or "*" not in given[0]:
        return given
    kind = given[0].partition(".*")[0]
    site = site_of(name) or ""
    numbers = re.findall(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])", name or "")  # of `blocks.7.ln2.hook` the 7
    if site.startswith(f"{kind}."):
        return (site,)
    if len(numbers) != 1:
        raise WrongUse(
            f"load the dictionary {path}", found=f"the pattern {given[0]!r}, and no layer in its files",
            do=f"name the one site, such as {given[0].replace('*', '12')!r}",
        )  # fmt: skip
    return (given[0].replace("*", numbers[0]),)


def _settled(argument: str, given: tuple[str, ...] | None, path: Path, names: Sequence[str | None]) -> tuple[str, ...]:
    if given is not None:
        if len(given) == 1 and "*" in given[0]:
            given = tuple(given[0].replace("*", str(layer)) for layer in range(len(names)))
        if len(given) != len(names):
            raise WrongUse(
                f"load the dictionary {path}", found=f"{argument} {list(given)}, where {len(names)} sites belong",
                do="name a site for each of them, or a pattern for all, such as 'mlp.in.*'",
            )  # fmt: skip
        return given
    found = [site_of(name) for name in names]
    if unknown := [name for name, site in zip(names, found, strict=True) if site is None]:
        said = f"{unknown[0]!r}, which is no site of ours exactly" if unknown[0] else "no name of a place in its files"
        raise WrongUse(
            f"load the dictionary {path}", found=said,
            do=f"say which site it is: load_dictionary(…, {argument}='resid.12'); docs/how-to/exchange-dictionaries.md",
        )  # fmt: skip
    return tuple(site for site in found if site is not None)
