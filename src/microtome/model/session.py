"""One forward pass under watch: hooks go in, sites are captured and edited, hooks come out again."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from microtome.core.errors import EditTouchedNothing, SiteDidNotFire
from microtome.core.sites import Site
from microtome.model.anatomy import Anatomy
from microtome.model.attention import Watcher, watched
from microtome.model.edits import Edit
from microtome.model.inputs import Batch
from microtome.model.placing import Chunk, apply
from microtome.model.taps import Tap, tap

Values = Mapping[str, float | Tensor]


class Enough(Exception):
    """Ends a forward pass that has nothing left to give."""


class Session:
    """Watches the passes inside its `with` block.

    Args:
        anatomy: of the model.
        batch: what will be run; positions of edits refer to it.
        wanted: sites to capture.
        edits: edits with the value of each of their sites, by site name.
        gradients: keep the graph, and make each captured tensor a node of its own branch.
        stop: end the pass once all is captured and every edit has fired.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        batch: Batch,
        wanted: tuple[Site, ...],
        edits: tuple[tuple[Edit, dict[Site, float | Tensor]], ...] = (),
        *,
        gradients: bool = False,
        stop: bool = False,
    ):
        self.anatomy, self.batch, self.gradients, self.stop = anatomy, batch, gradients, stop
        self.captured: dict[Site, Tensor] = {}
        self._wanted, self._edits = set(wanted), edits
        self._edits_at: dict[Site, list[int]] = defaultdict(list)
        for i, (_, values) in enumerate(edits):
            for site in values:
                self._edits_at[site].append(i)
        self._changed: list[Tensor | bool] = [False] * len(edits)
        self._pending = self._wanted | set(self._edits_at)
        self._unfired = set(self._pending)
        self.chunk = Chunk(0, 0)

    @contextmanager
    def watching(self) -> Iterator["Session"]:
        """Installs the hooks; removes every one of them on leaving, however that happens."""
        taps = {site: tap(site, self.anatomy, len(self.batch.lengths)) for site in self._touched()}
        with ExitStack() as stack:
            root = self.anatomy.module.register_forward_pre_hook(self._begin, with_kwargs=True, prepend=True)
            stack.callback(root.remove)
            for one in taps.values():
                if one.before is not None:
                    stack.callback(_hold(*one.before))
            for (module, when), group in _grouped(taps).items():
                if when != "attention":
                    stack.callback(self._hook(module, when, group))
            stack.enter_context(watched(self._watchers(taps)))
            yield self

    def _touched(self) -> list[Site]:
        return sorted(self._wanted | set(self._edits_at), key=lambda site: site.order)

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

    def _at_input(
        self, group: list[tuple[Site, Tap]], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (self._through(group, args[0]), *args[1:]), kwargs
        name = next(iter(kwargs)) if "hidden_states" not in kwargs else "hidden_states"
        return args, {**kwargs, name: self._through(group, kwargs[name])}

    def _at_output(self, group: list[tuple[Site, Tap]], module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return self._through(group, output)
        if isinstance(output, tuple):
            return (self._through(group, output[0]), *output[1:])
        output.logits = self._through(group, output.logits)
        return output

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
        for i in self._edits_at.get(site, ()):
            edit, values = self._edits[i]
            edited = apply(edit, values[site], site, value, self.batch, self.chunk)
            if edited is not value:
                self._changed[i] = (edited != value).any() | self._changed[i]
                value = edited
        if site in self._wanted:
            if self.gradients:
                value = _node(value, fresh=site.kind.name == "embed")
            self.captured[site] = value
        return value

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
                    found=f"it ran at {len(values)} site{'s'[: len(values) != 1]} and changed no value",
                    do="check positions, units and value, or pass may_be_empty=True where that is right",
                )


def _node(value: Tensor, *, fresh: bool) -> Tensor:
    """A tensor of its own in the graph, so that its gradient is that of its branch alone."""
    return value.detach().requires_grad_() if fresh else value.view_as(value)


def _hold(module: nn.Module, keep: Callable[[tuple[Any, ...]], None]) -> Callable[[], None]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep((*args, *kwargs.values()))

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _grouped(taps: dict[Site, Tap]) -> dict[tuple[nn.Module, str], list[tuple[Site, Tap]]]:
    groups: dict[tuple[nn.Module, str], list[tuple[Site, Tap]]] = defaultdict(list)
    for site, one in taps.items():
        groups[one.module, one.when].append((site, one))
    return groups


def run_once(anatomy: Anatomy, session: Session, *, last_logits_only: bool = False) -> Any:
    """Runs the module once under a session; None where the session ended the pass early."""
    batch = session.batch
    arguments: dict[str, Any] = {"input_ids": batch.ids, "use_cache": False}
    if batch.padded:
        arguments["attention_mask"] = batch.mask.long()
        arguments["position_ids"] = (batch.mask.long().cumsum(1) - 1).clamp(min=0)
    if last_logits_only:
        arguments["logits_to_keep"] = 1
    with torch.set_grad_enabled(session.gradients), session.watching():
        try:
            return anatomy.module(**arguments)
        except Enough:
            return None
