"""`train` and `train_many`: dictionaries from activations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microtome.core.artefact import writable
from microtome.core.batches import BatchSource, Shuffles
from microtome.core.errors import WrongUse
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.saving import CARD, load, save
from microtome.train import log, resharding
from microtome.train.config import WHAT, RunConfig, TrainConfig
from microtome.train.given_rows import Given, GivenRows
from microtome.train.job import PLACE, Job, job
from microtome.train.run import Run
from microtome.train.same_run import check_same, data_differences, settings_in, settings_of
from microtome.train.settings import split
from microtome.train.team import team

Source = BatchSource | Shuffles | Given | Mapping[str, Given]


def train(
    source: Source, *, site: str | Sequence[str] | None = None, architecture: str = "topk",
    units: int = 8192, seed: int = 0, out: str | Path | None = None, resume: bool = False, **settings: Any,
) -> Dictionary:  # fmt: skip
    """Trains a dictionary.

    Args:
        source: a store; a tensor or an array `[tokens, width]`, or `{site: tensor}`; or any source of batches.
        site: that an SAE reads and writes; several make a crosscoder. A transcoder has `reads=` and `writes=` instead,
            a cross-layer transcoder several of each and `kind="clt"`.
        architecture: see `microtome list architecture`.
        units: how many; of a cross-layer transcoder, of each layer.
        seed: of the start, of the order of a store's rows, and of everything drawn on the way.
        out: folder for the dictionary, the log and checkpoints; None keeps the dictionary in memory alone.
        resume: go on with the run in `out` where it stopped; one that ended is read, one that never began begins. With
            more `tokens` than before, one that stopped goes on to that length, and one that ended, whose state is
            gone, is trained anew to it.
        settings: the architecture's (`k`), those of `TrainConfig` (`lr`, `warm_up`), of `RunConfig` (`tokens`,
            `batch`), `skip=True` for a linear map beside the units, and `name`.

    Returns:
        The dictionary, for inputs as they are: scales and lengths of training are folded into it.

    Raises:
        UnknownName: a setting or an architecture that does not exist; the message names the nearest.
        SiteNotFound: the source lacks a site.
        WrongUse: sites that make no dictionary, settings out of range, or a folder that holds another run.
        TrainingStopped: the doctor stopped it.
    """
    theirs = ARCHITECTURES.get(architecture)
    parts = split(settings, {"place": PLACE, "architecture": theirs, "training": TrainConfig, "run": RunConfig})
    one = job(site, architecture, units, seed, **parts["place"], **parts["architecture"], **parts["training"])
    return train_many(source, [one], out=out, resume=resume, **parts["run"])[0]


def train_many(
    source: Source, jobs: Sequence[Job], *, out: str | Path | None = None, resume: bool = False,
    **settings: Any,
) -> list[Dictionary]:  # fmt: skip
    """Trains several dictionaries in one pass over the data: at several sites, of several sizes and sparsities.

    Args:
        source: as of `train`, with every site that a job names.
        jobs: from `microtome.train.job.job`; their names differ.
        out: folder with a folder for each job by its name; of a single job, the dictionary's own.
        resume: go on with the run in `out`.
        settings: of `RunConfig`, which all share.

    Raises:
        As `train`.
    """
    split(settings, {"run": RunConfig})
    config = RunConfig.from_dict(settings)
    folder = None if out is None else Path(out)
    if config.tensorboard and folder is None:
        raise WrongUse(WHAT, found="tensorboard=True, and no folder for its files", do="give out=, a folder")
    if len({one.name for one in jobs}) < len(jobs) or not jobs:
        names = [one.name for one in jobs]
        raise WrongUse("train several dictionaries", found=f"the names {names}", do="give each job a name of its own")
    homes = [folder / one.name if folder and len(jobs) > 1 else folder for one in jobs]
    with team(config.columns, config.device) as all_of_us:
        standing = folder is not None and resharding.stands(folder)
        if folder is not None:
            if (standing or (folder / log.FILE).exists()) and not resume:
                raise WrongUse(
                    f"train into {folder}", found="a run that was begun there", do="give resume=True, or another folder"
                )
            ended = not standing and all(home and (home / CARD).exists() for home in homes)
            all_of_us.wait()  # everyone has looked before anyone writes
            if ended:
                made = [load(home) for home in homes if home is not None]
                if _as_asked(made, source, jobs, config):
                    return made
            writable(folder / log.FILE)
            folder.mkdir(parents=True, exist_ok=True)
        run = Run(_batches(source, jobs), jobs, config, folder, all_of_us)
        if standing:
            run.resume()
        made = run.go()
        if all_of_us.leads:
            _keep(made, homes, folder)
        all_of_us.wait()
    return made


def _as_asked(made: Sequence[Dictionary], source: Source, jobs: Sequence[Job], config: RunConfig) -> bool:
    """Whether the dictionaries of a run that ended are what is asked for; False where a longer run is.

    Raises:
        WrongUse: they were trained otherwise.
    """
    cards = [one.card for one in made if one.card is not None]
    now = settings_of(jobs, config)
    before = settings_in(cards)
    check_same(now, before, *data_differences(_batches(source, jobs).card, cards[0].data))
    return now["config"]["tokens"] == before["config"]["tokens"]


def _keep(made: Sequence[Dictionary], homes: Sequence[Path | None], folder: Path | None) -> None:
    for home, dictionary in zip(homes, made, strict=True):
        if home is not None:
            save(dictionary, home)
    if folder is not None:
        resharding.remove(folder)


def _batches(source: Source, jobs: Sequence[Job]) -> BatchSource:
    if isinstance(source, BatchSource):
        return source
    sites = tuple(dict.fromkeys(site for one in jobs for site in one.sites))
    if isinstance(source, Shuffles):
        return source.shuffled(seed=jobs[0].seed, sites=sites)
    if isinstance(source, Mapping):
        return GivenRows(source, jobs[0].seed)
    if isinstance(source, Given) and len(sites) == 1:
        return GivenRows({sites[0]: source}, jobs[0].seed)
    raise WrongUse(
        WHAT, found=f"a {type(source).__name__} to train on at {', '.join(sites)}",
        do="give a store, a tensor [tokens, width] for one site, {site: tensor} for several, or a BatchSource",
    )  # fmt: skip
