"""Sites: the named places of a model where a tensor can be captured or edited."""

import re
from dataclasses import dataclass

from microtome.core.errors import SiteNotFound, nearest


@dataclass(frozen=True)
class SiteKind:
    """A row of the table of sites.

    Attributes:
        name: `mlp.neurons`, `embed`, …
        shape: the letters of its axes, after the batch axis `b`.
        per_layer: whether there is one in every layer.
        says: what it is, in words.
    """

    name: str
    shape: str
    per_layer: bool
    says: str

    @property
    def position_axis(self) -> int:
        """The axis of (query) positions. With it moved to 1, axis 2 is the one that `units=` addresses."""
        return self.shape.split().index("p")

    @property
    def position_axes(self) -> tuple[int, ...]:
        """All axes that run over positions."""
        return tuple(i for i, letter in enumerate(self.shape.split()) if letter == "p")


# In the order in which a forward pass meets them; one layer's rows stand together.
KINDS: tuple[SiteKind, ...] = (
    SiteKind("embed", "b p d", False, "what enters layer 0, after any scaling, with learned positions"),
    SiteKind("resid", "b p d", True, "the stream entering layer L"),
    SiteKind("attn.in", "b p d", True, "what attention reads, after its norm"),
    SiteKind("attn.q", "b p h c", True, "queries, after bias, norm and rotary"),
    SiteKind("attn.k", "b p g c", True, "keys, after bias, norm and rotary"),
    SiteKind("attn.v", "b p g c", True, "values, after bias"),
    SiteKind("attn.scores", "b h p p", True, "before the softmax, after scale, soft-cap and mask"),
    SiteKind("attn.pattern", "b h p p", True, "after the softmax"),
    SiteKind("attn.heads", "b p h c", True, "each head's mix of values, before W_O"),
    SiteKind("attn.out", "b p d", True, "what attention adds to the stream, after any post-norm"),
    SiteKind("resid_mid", "b p d", True, "the stream between attention and MLP"),
    SiteKind("mlp.in", "b p d", True, "what the MLP reads, after its norm"),
    SiteKind("mlp.gate", "b p u", True, "before the activation"),
    SiteKind("mlp.up", "b p u", True, "the factor beside the gate"),
    SiteKind("mlp.neurons", "b p u", True, "hidden units, the input of the down projection"),
    SiteKind("mlp.out", "b p d", True, "what the MLP adds to the stream, after any post-norm"),
    SiteKind("resid.final", "b p d", False, "the stream after the last layer"),
    SiteKind("norm.final", "b p d", False, "after the final norm"),
    SiteKind("logits", "b p v", False, "logits, after any soft-cap"),
)
BY_NAME = {kind.name: kind for kind in KINDS}

# Names from other tools, so that an error can say what the thing is called here.
FOREIGN = (
    (re.compile(r"(blocks\.(\d+)\.)?hook_resid_pre$"), "resid.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?hook_resid_mid$"), "resid_mid.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?hook_resid_post$"), "resid.{next}"),
    (re.compile(r"(blocks\.(\d+)\.)?ln1\.hook_normalized$"), "attn.in.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?ln2\.hook_normalized$"), "mlp.in.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?attn\.hook_(?:rot_)?q$"), "attn.q.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?attn\.hook_(?:rot_)?k$"), "attn.k.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?attn\.hook_v$"), "attn.v.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?attn\.hook_attn_scores$"), "attn.scores.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?attn\.hook_pattern$"), "attn.pattern.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?attn\.hook_z$"), "attn.heads.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?hook_attn_out$"), "attn.out.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?mlp\.hook_pre$"), "mlp.gate.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?mlp\.hook_pre_linear$"), "mlp.up.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?mlp\.hook_post$"), "mlp.neurons.{}"),
    (re.compile(r"(blocks\.(\d+)\.)?hook_mlp_out$"), "mlp.out.{}"),
    (re.compile(r"()()hook_embed$"), "embed"),
    (re.compile(r"()()ln_final\.hook_normalized$"), "norm.final"),
    (
        re.compile(
            r"(?:model\.)?(?:transformer\.h|model\.layers|gpt_neox\.layers|layers|layers_output)[\[.](\d+)\]?()(?:\.output.*)?$"
        ),
        "resid.{next}",
    ),
    (
        re.compile(r".*(?:layers|h)[\[.](\d+)\]?\.(?:self_attn|attn|attention)(?:\.output.*)?()$"),
        "attn.out.{}",
    ),
    (re.compile(r".*(?:layers|h)[\[.](\d+)\]?\.mlp(?:\.output.*)?()$"), "mlp.out.{}"),
    (re.compile(r"()()lm_head(?:\.output.*)?$"), "logits"),
)


MODULE = "module:"
"""What the name of a site begins with where it is a path to a module, for its output."""


@dataclass(frozen=True, order=True)
class Site:
    """One place: a kind, and the layer where the kind has one in each."""

    order: tuple[int, int]
    kind: SiteKind
    layer: int | None

    def __str__(self) -> str:
        return self.kind.name if self.layer is None else f"{self.kind.name}.{self.layer}"

    @property
    def module(self) -> str | None:
        """The path of the module whose output this is; None for the sites of the table."""
        return self.kind.name.removeprefix(MODULE) if self.kind.name.startswith(MODULE) else None


def site(kind: str, layer: int | None = None) -> Site:
    """The site of a kind, at a layer where the kind is per layer."""
    row = KINDS.index(BY_NAME[kind])
    last = row >= KINDS.index(BY_NAME["resid.final"])
    depth = layer if layer is not None else (10**6 if last else -1)
    return Site((depth, row), BY_NAME[kind], layer)


def module_site(path: str, row: int = 0) -> Site:
    """The site of a module's output: its first tensor, where it gives several."""
    return Site((10**7, row), SiteKind(f"{MODULE}{path}", "b p …", False, "what the module gives"), None)


_LAYERS = re.compile(r"^(?P<kind>[a-z_.]+?)\.(?P<layers>\*|-?\d+|\{[-\d,.\s]+\})$")
_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True)
class Sites:
    """The sites of one model.

    Attributes:
        n_layers: how many layers have names; 0 where no family describes the network.
        kinds: the rows of the table that it has.
        modules: paths of its modules, each a site too.
    """

    n_layers: int
    kinds: tuple[str, ...]
    modules: tuple[str, ...] = ()

    def every(self) -> list[Site]:
        """Those of the table in forward order; module paths only where there is nothing better to name."""
        found = []
        for name in self.kinds:
            layers = range(self.n_layers) if BY_NAME[name].per_layer else (None,)
            found.extend(site(name, layer) for layer in layers)
        paths = [] if self.n_layers else [module_site(path, row) for row, path in enumerate(self.modules)]
        return sorted([*found, *paths], key=lambda one: one.order)

    def patterns(self) -> list[str]:
        """The same in few words: `resid.*`, `module:model.decoder.layers.*.fc1`."""
        return list(dict.fromkeys(_NUMBER.sub("*", str(one)) for one in self.every()))

    def select(self, pattern: str) -> list[Site]:
        """The sites that a pattern names: `resid.3`, `mlp.neurons.*`, `resid.{3,7,11}`, `resid.-1`.

        In a module path, `*` stands for one whole step and braces list several: `module:h.{3,7}.mlp`.

        Raises:
            SiteNotFound: the kind, a layer or a module does not exist in this model; the message lists
                near matches, and the name used here when the pattern comes from another tool.
        """
        if pattern.startswith(MODULE):
            return self._of_modules(pattern)
        if pattern in BY_NAME and not BY_NAME[pattern].per_layer and pattern in self.kinds:
            return [site(pattern)]
        match = _LAYERS.match(pattern)
        if match is None or match["kind"] not in self.kinds or not BY_NAME[match["kind"]].per_layer:
            raise _no_such_site(pattern, match["kind"] if match else pattern, self)
        return [site(match["kind"], layer) for layer in _layers(match["layers"], self.n_layers, pattern)]

    def _of_modules(self, pattern: str) -> list[Site]:
        found: dict[int, Site] = {}
        for path in _expanded(pattern.removeprefix(MODULE)) or [""]:
            steps = re.compile(re.escape(path).replace(r"\*", r"[^.]+"))
            here = {row: module_site(one, row) for row, one in enumerate(self.modules) if steps.fullmatch(one)}
            if not here:
                known = {_NUMBER.sub("*", one) for one in self.modules} if "*" in path else self.modules
                raise SiteNotFound(
                    f"find the site {pattern!r}",
                    found=f"no module {nearest(path, known)}",
                    do="name a module that is called; `print(model.module)` shows them all",
                )
            found |= here
        return [found[row] for row in sorted(found)]


def _expanded(path: str) -> list[str]:
    """A path with braces as the paths that it stands for, so that each can be missed."""
    braces = _BRACES.search(path)
    if braces is None:
        return [path]
    parts = [part.strip() for part in braces[1].split(",") if part.strip()]
    return [one for part in parts for one in _expanded(path[: braces.start()] + part + path[braces.end() :])]


def _layers(text: str, n_layers: int, pattern: str) -> list[int]:
    if text == "*":
        return list(range(n_layers))
    asked = [int(part) for part in text.strip("{}").split(",") if part.strip()]
    for layer in asked:
        if not -n_layers <= layer < n_layers:
            raise SiteNotFound(
                f"find the site {pattern!r}",
                found=f"layer {layer}, but this model has layers 0 to {n_layers - 1}",
                do="name a layer that exists",
            )
    return sorted({layer % n_layers for layer in asked})


def _no_such_site(pattern: str, kind: str, sites: Sites) -> SiteNotFound:
    what = f"find the site {pattern!r}"
    if not sites.n_layers and kind not in sites.kinds and pattern not in sites.modules:
        only = " and ".join([*sites.kinds, "outputs of modules"])
        return SiteNotFound(
            what,
            found=f"no family describes this network, so it has only {only}",
            do=f"write {MODULE}PATH, or give its layers names: docs/how-to/add-a-family.md",
        )
    if kind in BY_NAME and kind not in sites.kinds:
        return SiteNotFound(
            what,
            found=f"this model's family has no {kind!r} ({BY_NAME[kind].says})",
            do="choose among `model.sites()`",
        )
    if kind in BY_NAME:
        form = f"{kind}.3 or {kind}.*" if BY_NAME[kind].per_layer else f"{kind}, without a layer"
        return SiteNotFound(what, found=f"{kind!r} written {pattern!r}", do=f"write {form}")
    if sites.n_layers and (here := foreign_name(pattern, sites.n_layers)) is not None:
        return SiteNotFound(
            what,
            found="a name from another tool",
            do=f"here it is called {here}; docs/coming-from-other-tools.md maps the rest",
        )
    if pattern in sites.modules:
        return SiteNotFound(what, found="the path of a module", do=f"write {MODULE}{pattern}")
    return SiteNotFound(what, found=nearest(kind, sites.kinds), do="choose among `model.sites()`")


def foreign_name(pattern: str, n_layers: int | None = None) -> str | None:
    """What a TransformerLens or nnsight name is called here, or None; told for any depth where that is not given."""
    for expression, ours in FOREIGN:
        if (match := expression.match(pattern)) is not None:
            layer = next((int(group) for group in match.groups() if group and group.isdigit()), None)
            shown = "L" if layer is None else str(layer)
            return ours.replace("{next}", _following(layer, n_layers)).replace("{}", shown)
    return None


def _following(layer: int | None, n_layers: int | None) -> str:
    """What the stream behind a layer is called: the next one's, or the end."""
    if layer is None or n_layers is None:
        return f"{'L+1' if layer is None else layer + 1} (or resid.final after the last layer)"
    return "final" if layer == n_layers - 1 else str(layer + 1)
