"""Networks of our own making in a folder: weights, and a run card with all that they were made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from microtome.core.artefact import RunCard, read_artefact, write_json
from microtome.core.config import Config
from microtome.core.errors import FormatError
from microtome.model.sources.quiet import quiet

FORMAT = 1


def keep(
    module: GPT2LMHeadModel, folder: str | Path, kind: str, config: Config, *,
    roles: Mapping[str, str], command: str | None = None,
) -> Path:  # fmt: skip
    """Writes weights and run card.

    Args:
        module: whose weights.
        folder: to write to.
        kind: what the network is, as the card says it.
        config: how it was made; a field `seed` is the card's seed.
        roles: what its nodes do, for who reads the card.
        command: that made it; that of the process where none is given.
    """
    with quiet():
        module.save_pretrained(folder)
    settings = config.to_dict()
    said = RunCard(kind, FORMAT, settings.get("seed"), settings).to_dict() | ({"command": command} if command else {})
    return write_json(Path(folder) / "card.json", {"card": said, "truth": dict(roles)}).parent


def kept(folder: str | Path, kind: str) -> tuple[GPT2LMHeadModel, dict[str, Any]]:
    """The network, ready to run, and the settings that it was made by.

    Raises:
        MissingFile, FormatError: there is no such card, or it is of something else.
    """
    card = read_artefact(Path(folder) / "card.json", kind=kind, format=FORMAT, keys=("card", "truth"))["card"]
    if card.get("kind") != kind:
        raise FormatError(
            f"read the {kind} {folder}", found=f"a card of {card.get('kind')!r}", do="name the folder of such a network"
        )
    with quiet():
        module = GPT2LMHeadModel.from_pretrained(folder, local_files_only=True)
    return module.eval().requires_grad_(False), card["config"]
