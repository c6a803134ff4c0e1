"""The tables of the documentation, made from what they describe. `python tests/docs/tables.py` writes them."""

import inspect
from pathlib import Path

from microtome.core import errors
from microtome.core.sites import KINDS, foreign_name
from microtome.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"

THEIRS = (
    "hook_embed", "blocks.3.hook_resid_pre", "blocks.3.hook_resid_mid", "blocks.3.hook_resid_post",
    "blocks.3.ln1.hook_normalized", "blocks.3.ln2.hook_normalized", "blocks.3.attn.hook_q", "blocks.3.attn.hook_k",
    "blocks.3.attn.hook_v", "blocks.3.attn.hook_attn_scores", "blocks.3.attn.hook_pattern", "blocks.3.attn.hook_z",
    "blocks.3.hook_attn_out", "blocks.3.mlp.hook_pre", "blocks.3.mlp.hook_pre_linear", "blocks.3.mlp.hook_post",
    "blocks.3.hook_mlp_out", "ln_final.hook_normalized", "model.layers[3].output", "model.layers[3].self_attn.output",
    "model.layers[3].mlp.output", "transformer.h[3].output", "gpt_neox.layers[3].output", "lm_head.output",
)  # fmt: skip


def sites() -> str:
    rows = [
        f"| `{kind.name}{'.L' * kind.per_layer}` | {kind.says} | `[{', '.join(kind.shape.split())}]` |"
        for kind in KINDS
    ]
    return "\n".join(["| site | tensor | shape |", "|---|---|---|", *rows]) + "\n"


def foreign() -> str:
    return "".join(f"| `{theirs}` | {foreign_name(theirs)} |\n" for theirs in THEIRS)


def error_classes() -> str:
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.MicrotomeError)]
    parts = [
        f"## {one.__name__}\n\n{inspect.getdoc(one).splitlines()[0]} Exit code {one.exit_code}.\n" for one in found
    ]
    return "\n".join(parts)


def metrics() -> str:
    rows = [
        f"| `{entry.name}` | {entry.summary} | {entry.value.unit} | {entry.value.better}"
        f" | {'' if entry.value.best is None else f'{entry.value.best:g}'} |"
        for entry in METRICS
    ]
    return "\n".join(["| metric | what it is | unit | better | best |", "|---|---|---|---|---|", *rows]) + "\n"


TABLES = {"sites.md": sites, "coming-from-other-tools.md": foreign, "errors.md": error_classes, "metrics.md": metrics}
STARTS = {
    "sites.md": "| site |",
    "coming-from-other-tools.md": "| `hook_embed`",
    "errors.md": "## ",
    "metrics.md": "| metric |",
}

if __name__ == "__main__":
    for name, table in TABLES.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        (DOCS / name).write_text(text.partition(STARTS[name])[0] + table(), encoding="utf-8")
