"""The group `microtome train`: what is trained is its first word; where that is a store, a dictionary is."""

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from microtome.cli.app import main
from microtome.cli.saying import say
from microtome.core.errors import WrongUse

if TYPE_CHECKING:
    from microtome.activations.store import ActivationStore

DEFAULT = "dictionary"


class Trainings(TyperGroup):
    """Takes `train STORE …` for `train dictionary STORE …`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names, or the default one, for which that word is the store."""
        named = args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if named else [DEFAULT, *args])


def to_learn_from(store: "ActivationStore", as_json: bool) -> "ActivationStore":
    """Its documents but for the tenth that `microtome measure` measures on; all of them where no tenth can be had."""
    try:
        return store.split()[0]
    except WrongUse as error:
        say(f"no document is held out: {error.found}", as_json=as_json)
        return store


group = typer.Typer(cls=Trainings, no_args_is_help=True, rich_markup_mode=None)
main.add_typer(group, name="train", short_help="Train dictionaries.")
