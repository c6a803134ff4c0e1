"""What a run gives back: the tensors that were asked for, aligned so that positions mean real tokens."""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.errors import SiteNotFound, WrongUse
from microtome.core.sites import Site, Sites
from microtome.model.inputs import Batch


class Captured(Mapping[str, Tensor]):
    """Tensors by site name. Negative layers and misspelt names are understood as `model.run` does."""

    def __init__(self, tensors: dict[str, Tensor], sites: Sites, what: str):
        self._tensors, self._sites, self._what = tensors, sites, what

    def __getitem__(self, name: str) -> Tensor:
        if name in self._tensors:
            return self._tensors[name]
        sites = [str(site) for site in self._sites.select(name)]
        if len(sites) == 1 and sites[0] in self._tensors:
            return self._tensors[sites[0]]
        held = ", ".join(list(self._tensors)[:6]) + (", …" if len(self._tensors) > 6 else "")
        raise SiteNotFound(
            f"take the {self._what} {name!r} from a run",
            found=f"this run holds {held or 'nothing'}",
            do=f"name one site that it holds, or ask for it: model.run(…, capture=[{name!r}])",
        )

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self[name] is not None
        except SiteNotFound:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def stack(self, pattern: str) -> Float[Tensor, "l ..."]:
        """All layers of a pattern such as `mlp.neurons.*` in one tensor, layers first.

        Raises:
            SiteNotFound: the run does not hold one of them.
            WrongUse: they differ in shape, as where some layers have experts and others have none.
        """
        found = [(str(site), self[str(site)]) for site in self._sites.select(pattern)]
        other = next(((name, one) for name, one in found if one.shape != found[0][1].shape), None)
        if other is not None:
            (first, one) = found[0]
            (name, two) = other
            raise WrongUse(
                f"stack {pattern!r}",
                found=f"sites of different shape: {first} is {list(one.shape)}, {name} is {list(two.shape)}",
                do=f"name layers of one shape, or take each by itself: run[{first!r}]",
            )
        return torch.stack([one for _, one in found])


class Run(Captured):
    """One forward pass: `run["resid.15"]` is `[b, p, d]`, zero at padding.

    Attributes:
        grad: gradients of the metric at the captured sites, where `backward=` was given.
        metric: the metric's value, or None.
        batch: what was run.
    """

    def __init__(
        self, tensors: dict[str, Tensor], grads: dict[str, Tensor], metric: float | None, batch: Batch, sites: Sites
    ):
        super().__init__(tensors, sites, "site")
        self.grad = Captured(grads, sites, "gradient at")
        self.metric, self.batch = metric, batch

    @property
    def mask(self) -> Bool[Tensor, "b p"]:
        """True at real tokens."""
        return self.batch.real

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in list(self.items())[:4])
        return f"Run({len(self)} sites: {shapes}{', …' if len(self) > 4 else ''})"


def aligned(site: Site, tensor: Tensor, batch: Batch) -> Tensor:
    """A captured tensor with every row's token 0 at position 0."""
    return batch.align(tensor, site.kind.position_axes)
