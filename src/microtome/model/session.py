"""One forward pass under watch: hooks go in, sites are captured and edited, hooks come out again."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.counting import counted
from microtome.core.errors import EditTouchedNothing, NotSupported, SiteDidNotFire, WrongUse
from microtome.core.sites import Site
from microtome.model.attention import Watcher, watched
from microtome.model.edit_positions import Chunk, SiteValue, apply
from microtome.model.edits import Edit
from microtome.model.inputs import Batch
from microtome.model.network import Network, carried, carrying
from microtome.model.taps import Tap, tap
from microtome.model.unit_edits import ByUnits, Coding

Resolved = tuple[Edit, Mapping[Site, SiteValue | ByUnits]]
"""An edit with its value at each of its sites."""


class Enough(Exception):
    """Ends a forward pass that has nothing left to give."""


class Session:
    """Watches the passes inside its `with` block.

    Args:
        network: of the model.
        batch: what will be run; positions of edits refer to it.
        wanted: sites to capture.
        edits: edits with the value of each of their sites, by site name.
        gradients: keep the graph, and make each captured tensor a node of its own branch.
        stop: end the pass once all is captured and every edit has fired.
    """

    def __init__(
        self,
        network: Network,
        batch: Batch,
        wanted: tuple[Site, ...],
        edits: tuple[Resolved, ...] = (),
        *,
        gradients: bool = False,
        stop: bool = False,
    ):
        self.network, self.batch, self.gradients, self.stop = network, batch, gradients, stop
        self.captured: dict[Site, Tensor] = {}
        self._met: set[Site] = set()
        self._wanted = set(wanted)
        self._edits = edits
        self._edits_at: dict[Site, list[int]] = defaultdict(list)
        for i, (_, values) in enumerate(edits):
            for site in values:
                self._edits_at[site].append(i)
        self._changed: list[Tensor | bool] = [False] * len(edits)
        self._pending = self._wanted | set(self._edits_at)
        self._unfired = set(self._pending)
        self.chunk = Chunk(0, 0)
        self._coding = Coding(_needed(edits))
        if gradients and self._coding.needed:
            raise NotSupported(
                "take gradients under an edit of a dictionary's units",
                found="a change that is computed without gradients, so that theirs would be wrong",
                do="run backward without that edit, or edit a site",
            )

    @contextmanager
    def watching(self) -> Iterator["Session"]:
        """Installs the hooks; removes every one of them on leaving, however that happens."""
        taps = {site: tap(site, self.network, self._call_shape) for site in self._touched()}
        with ExitStack() as stack:
            root = self.network.module.register_forward_pre_hook(self._begin, with_kwargs=True, prepend=True)
            stack.callback(root.remove)
            for (module, when), group in _grouped(taps).items():
                if when != "attention":
                    stack.callback(self._hook(module, when, group))
            for one in taps.values():
                if one.before is not None:  # after the edits of that module's input, so as to hold what they made
                    stack.callback(_hold(*one.before))
            stack.enter_context(watched(self._watchers(taps)))
            yield self

    def _call_shape(self) -> tuple[int, int]:
        """Rows and positions of the call in progress."""
        return len(self.batch.lengths), self.chunk.width

    def _touched(self) -> list[Site]:
        return sorted(self._wanted | set(self._edits_at) | self._coding.needed, key=lambda site: site.order)

    def _hook(self, module: nn.Module, when: str, group: list[tuple[Site, Tap]]) -> Callable[[], None]:
        if when == "input":
            return module.register_forward_pre_hook(partial(self._at_input, group), with_kwargs=True).remove
        return module.register_forward_hook(partial(self._at_output, group)).remove

    def _watchers(self, taps: dict[Site, Tap]) -> dict[nn.Module, Watcher]:
        by_module: dict[nn.Module, dict[str, list[tuple[Site, Tap]]]] = defaultdict(dict)
        for site, one in taps.items():
            if one.when == "attention":
                by_module[one.module].setdefault(one.name, []).append((site, one))

        def watcher(groups: dict[str, list[tuple[Site, Tap]]]) -> Watcher:
            return lambda name, tensor: self._through(groups.get(name, []), tensor)

        return {module: watcher(groups) for module, groups in by_module.items()}

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        width = self.batch.ids.shape[1] if ids is None else ids.shape[1]
        self.chunk = Chunk(self.chunk.start + self.chunk.width, width)
        self._met.clear()
        self._coding.begin()

    def _at_input(
        self, group: list[tuple[Site, Tap]], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (self._through(group, args[0]), *args[1:]), kwargs
        name = next(iter(kwargs)) if "hidden_states" not in kwargs else "hidden_states"
        return args, {**kwargs, name: self._through(group, kwargs[name])}

    def _at_output(self, group: list[tuple[Site, Tap]], module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        raw = carried(output)
        if raw is None:
            raise NotSupported(
                f"watch {group[0][0]}",
                found=f"it gives a {type(output).__name__}, in which there is no tensor",
                do="watch a module inside it, or the one that reads it",
            )
        new = self._through(group, raw)
        return output if new is raw else carrying(output, new)

    def _through(self, group: list[tuple[Site, Tap]], raw: Tensor) -> Tensor:
        for site, one in group:
            value = one.get(raw)
            new = self._visit(site, value)
            if new is not value:
                raw = one.put(raw, new)
        if self.stop and not self._pending:
            raise Enough
        return raw

    def _visit(self, site: Site, value: Tensor) -> Tensor:
        """Edits, then captures, one site's tensor; the same object comes back where nothing was done."""
        self._unfired.discard(site)
        self._pending.discard(site)
        if site in self._met:
            return self._again(site, value)
        self._met.add(site)
        if site.module is not None:
            self._check_shape(site, value)
        for i in self._edits_at.get(site, ()):
            edited = self._edited(self._edits[i], site, value)
            if edited is not value:
                self._changed[i] = (edited != value).any() | self._changed[i]
                value = edited
        self._coding.see(site, value)
        if site in self._wanted:
            value = self._capture(site, value)
        return value

    def _edited(self, resolved: Resolved, site: Site, x: Tensor) -> Tensor:
        edit = resolved[0]
        value = resolved[1][site]
        if isinstance(value, ByUnits):
            return self._coding.apply(edit, value, site, x, self.batch, self.chunk)
        return apply(edit, value, site, x, self.batch, self.chunk)

    def _capture(self, site: Site, value: Tensor) -> Tensor:
        """Keeps a tensor, and returns the one to go on with.

        Some networks write over what a module gave them, so what is kept of a module's output is a copy.
        """
        copied = site.module is not None
        kept = value.clone() if copied else value
        if self.gradients:
            kept = _node(site, kept)
            value = kept.clone() if copied else kept
        self.captured[site] = kept
        return value

    def _again(self, site: Site, value: Tensor) -> Tensor:
        """A module that runs several times in one pass is seen at its first; an edit of it would be half done."""
        if site not in self._edits_at:
            return value
        raise NotSupported(
            f"edit at {site}",
            found="the module runs several times in one pass",
            do="edit a module inside or around it that runs once",
        )

    def _check_shape(self, site: Site, value: Tensor) -> None:
        """Positions must be known where rows are padded, and where they are edited."""
        if value.shape[:2] == self._call_shape() or not (self.batch.padded or site in self._edits_at):
            return
        raise WrongUse(
            f"{'edit' if site in self._edits_at else 'watch'} {site}",
            found=f"an output of shape {list(value.shape)}, while {self._call_shape()} rows and positions are computed",
            do="take a module that gives [b, p, …] or [b·p, …]; without padding, any output can be captured",
        )

    def check(self) -> None:
        """Raises for what stayed silent.

        Raises:
            SiteDidNotFire: the pass never reached a site that was asked for.
            EditTouchedNothing: an edit changed no value anywhere.
        """
        if self._unfired:
            raise SiteDidNotFire(
                f"watch {', '.join(sorted(map(str, self._unfired)))}",
                found="the forward pass never went through there",
                do="run on a batch that reaches the site, or leave it out",
            )
        for (edit, values), changed in zip(self._edits, self._changed, strict=True):
            if not edit.may_be_empty and not bool(changed):
                raise EditTouchedNothing(
                    f"edit: {edit}",
                    found=f"it ran at {counted(len(values), 'site')} and changed no value",
                    do="positions='new' are generated tokens that are read again: generate two or more"
                    if edit.positions == "new"
                    else "check positions, units and value, or pass may_be_empty=True where that is right",
                )


def _node(site: Site, value: Tensor) -> Tensor:
    """A tensor of its own in the graph, so that its gradient is that of its branch alone."""
    if not value.is_floating_point():
        raise WrongUse(
            f"take the gradient at {site}",
            found=f"whole numbers ({str(value.dtype).removeprefix('torch.')})",
            do="leave it out, or capture it without backward",
        )
    return value.view_as(value) if value.requires_grad else value.detach().requires_grad_()


def _needed(edits: tuple[Resolved, ...]) -> frozenset[Site]:
    """Sites that dictionaries read whose units are edited."""
    values = [value for _, values in edits for value in values.values()]
    return frozenset(site for value in values if isinstance(value, ByUnits) for site in value.needs.values())


def _hold(module: nn.Module, keep: Callable[[tuple[Any, ...]], None]) -> Callable[[], None]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep((*args, *kwargs.values()))

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _grouped(taps: dict[Site, Tap]) -> dict[tuple[nn.Module, str], list[tuple[Site, Tap]]]:
    groups: dict[tuple[nn.Module, str], list[tuple[Site, Tap]]] = defaultdict(list)
    for site, one in taps.items():
        groups[one.module, one.when].append((site, one))
    return groups


def run_once(session: Session, *, last_logits_only: bool = False) -> Any:
    """Runs the module once under a session; None where the session ended the pass early."""
    with torch.set_grad_enabled(session.gradients), session.watching():
        try:
            return session.network.call(session.batch, last_logits_only=last_logits_only)
        except Enough:
            return None
