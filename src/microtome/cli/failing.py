"""What becomes of whatever goes wrong: a message on standard error and an exit code, no traceback."""

import sys
import traceback
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from microtome.cli.progress import progress_on_stderr
from microtome.core.errors import MicrotomeError

INTERRUPTED = 130
UNFORESEEN = 1
# What typer says itself: wrong usage (its base class moved from click into typer), exits, a closed pipe.
TYPERS_OWN: tuple[type[BaseException], ...] = (
    typer.Exit,
    typer.Abort,
    *typer.BadParameter.__bases__,
    BrokenPipeError,
)


class Commands(TyperGroup):
    """Runs the commands, and turns their errors into words."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        try:
            with progress_on_stderr():
                return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            leave(ctx, f"interrupted; {str(stopped) or 'nothing half-written'}", INTERRUPTED)
        except MicrotomeError as error:
            leave(ctx, str(error), error.exit_code)
        except TYPERS_OWN:
            raise
        except Exception as error:  # noqa: BLE001 - the outermost edge: a person sees a message, not a traceback
            said = f"{type(error).__name__}: {error}"
            leave(ctx, f"{said}\n  do:    run it again with `microtome --debug …` to see where", UNFORESEEN)


def leave(ctx: Any, message: str, code: int) -> NoReturn:
    """Says the message, under the traceback where one was asked for, and exits."""
    if ctx.params.get("debug"):
        traceback.print_exc()
    sys.stderr.write(message + "\n")
    raise typer.Exit(code)
