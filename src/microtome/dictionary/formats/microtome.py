"""microtome's own folder: `dictionary.safetensors` beside `dictionary.json`."""

from pathlib import Path

from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.saving import CARD, WEIGHTS, load, save


@FORMATS.register("microtome", summary="microtome's own folder, with its run card; read and written")
class Microtome(Format):
    """Says everything that a dictionary is, so that what is written comes back bit for bit."""

    writes = True

    def recognises(self, path: Path) -> bool:
        """By either file, so that a half copied folder is said to be one."""
        return (path / CARD).is_file() or (path / WEIGHTS).is_file() or path.name in (CARD, WEIGHTS)

    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """See `Format.read`."""
        if sites != GivenSites():
            raise WrongUse(
                f"load the dictionary {path}", found="sites named for a folder that says its own",
                do="leave `reads` and `writes` out",
            )  # fmt: skip
        return load(path.parent if path.is_file() else path)

    def write(self, dictionary: Dictionary, path: Path) -> Path:
        """See `Format.write`."""
        return save(dictionary, path)
