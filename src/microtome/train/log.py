"""The log: every reading as a line of JSON, and where asked to TensorBoard and Weights & Biases too."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from microtome.core.artefact import writing, written_whole
from microtome.core.need import need
from microtome.train.config import RunConfig

FILE = "log.jsonl"


# Takes the name of a job, the tokens learned, and figures by name.
Sink = Callable[[str, int, Mapping[str, Any]], None]


@contextmanager
def opened(folder: Path | None, config: RunConfig, *, tokens: int) -> Iterator[list[Sink]]:
    """Everything that listens to a run, closed at its end.

    Args:
        folder: of the run; without one nothing is written.
        config: what is asked for.
        tokens: learned so far; what was logged after that, before the run was killed, is taken out.

    Raises:
        MissingPackage: TensorBoard or Weights & Biases is asked for and not installed.
    """
    with ExitStack() as closing:
        sinks: list[Sink] = []
        if folder is not None:
            _cut(folder / FILE, tokens)
            file = closing.enter_context((folder / FILE).open("a", encoding="utf-8"))
            sinks.append(Lines(file, folder / FILE))
        if config.tensorboard and folder is not None:
            writer = need("torch.utils.tensorboard", extra="tensorboard").SummaryWriter(
                str(folder / "tensorboard"), purge_step=tokens + 1
            )
            closing.callback(writer.close)
            sinks.append(EventFiles(writer))
        if config.wandb is not None:
            run = need("wandb", extra="wandb").init(project=config.wandb, dir=None if folder is None else str(folder))
            closing.callback(run.finish)
            sinks.append(WeightsAndBiases(run))
        yield sinks


class Lines:
    """One JSON object a line, handed to the system at once: a run that is killed keeps what it said."""

    def __init__(self, file: Any, path: Path):
        self._file = file
        self._path = path

    def __call__(self, job: str, tokens: int, figures: Mapping[str, Any]) -> None:
        """Writes a line.

        Raises:
            WrongUse: the disk does not take it.
        """
        plain = {"job": job, "tokens": tokens, **strict(figures)}
        with writing(self._path):
            self._file.write(json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n")
            self._file.flush()


class EventFiles:
    """TensorBoard's."""

    def __init__(self, writer: Any):
        self._writer = writer

    def __call__(self, job: str, tokens: int, figures: Mapping[str, Any]) -> None:
        """One scalar a figure."""
        for name, value in _numbers(figures):
            self._writer.add_scalar(f"{job}/{name}", value, tokens)
        for name, value in figures.items():
            if isinstance(value, str):
                self._writer.add_text(f"{job}/{name}", value, tokens)
        self._writer.flush()


class WeightsAndBiases:
    """A run of theirs."""

    def __init__(self, run: Any):
        self._run = run
        run.define_metric("tokens")
        run.define_metric("*", step_metric="tokens")  # their own step counts calls, of all jobs together

    def __call__(self, job: str, tokens: int, figures: Mapping[str, Any]) -> None:
        """All figures of a job together."""
        self._run.log({f"{job}/{name}": value for name, value in _numbers(figures)} | {"tokens": tokens})


def read(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (Path(folder) / FILE).read_text(encoding="utf-8").splitlines()]


def _cut(path: Path, tokens: int) -> None:
    """Takes out what lies beyond, and a last line that was cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            break
        if value["tokens"] <= tokens:
            kept.append(line + "\n")
    with written_whole(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _numbers(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{key}", float(one)) for key, one in value.items())
        elif isinstance(value, int | float):
            yield name, float(value)


def strict(value: Any) -> Any:
    """Plain values as strict JSON has them. It has no not-a-number: null stands for it."""
    if isinstance(value, Mapping):
        return {key: strict(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
