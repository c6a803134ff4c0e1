"""What a layer's attention makes of any stream: queries, keys and values, by its own norm and its own module.

Nothing is computed again by formula. The module's attention is called on the stream that is asked about, and the
call ends as soon as the watched attention function has what was wanted, before any attention is paid.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from microtome.model.anatomy import Anatomy
from microtome.model.attention import watched


class _Seen(Exception):
    """Ends a call that has shown what was wanted."""


class Projections:
    """A network's projections for prompts of one length.

    Beside the stream, attention is called with rotary tables and masks. They are kept from a pass of the
    module itself, made inside `listening`.
    """

    def __init__(self, anatomy: Anatomy):
        self.anatomy = anatomy
        self._beside: dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keeps what attention is called with in the passes inside the block."""
        with ExitStack() as stack:
            for layer in self.anatomy.layers:
                stack.callback(layer.attention.register_forward_pre_hook(self._keep, with_kwargs=True).remove)
            yield

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = {name: _one_row(value) for name, value in kwargs.items() if name != "hidden_states"}
        self._beside[module] = tuple(map(_one_row, args[1:])), rest

    def __call__(
        self,
        index: int,
        stream: Float[Tensor, "n p d"],
        last: str = "v",
        instead: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What attention sees up to `last` of q, k, v, scores and pattern, laid out as at our sites.

        Args:
            index: the layer.
            stream: what enters it, before its norm.
            last: the last tensor wanted: the call ends there.
            instead: q, k or v to go on with in the place of the stream's own, `[n, p, heads, c]`.
        """
        layer = self.anatomy.layers[index]
        seen: dict[str, Tensor] = {}

        def watch(name: str, tensor: Tensor) -> Tensor:
            if instead is not None and name in instead:
                tensor = instead[name].transpose(1, 2)
            seen[name] = tensor if name in ("scores", "pattern") else tensor.transpose(1, 2)
            if name == last:
                raise _Seen
            return tensor

        args, kwargs = self._beside[layer.attention]
        with watched({layer.attention: watch}):
            try:
                layer.attention.forward(self.normed(layer.family.attn_norm, index, stream), *args, **kwargs)
            except _Seen:
                return seen
        raise AssertionError(f"attention of layer {index} never showed {last}")

    def normed(self, path: str | None, index: int, stream: Float[Tensor, "n p d"]) -> Float[Tensor, "n p d"]:
        """A stream after one of a layer's norms, by the module; as it is where the family has none there."""
        return stream if path is None else self.anatomy.layers[index].part(path)(stream)


def _one_row(value: Any) -> Any:
    """Rows of one length have one rotary table and one mask; the first row's serves any number of them."""
    if isinstance(value, Tensor):
        return value[:1] if value.ndim > 1 else value
    return tuple(map(_one_row, value)) if isinstance(value, tuple) else value
