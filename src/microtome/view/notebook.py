"""How a graph, a proof and a certificate show themselves in a notebook: short, safe HTML.

No script and no style sheet: the fragment lives in somebody else's page.
"""

from microtome.view.fields import Fields
from microtome.view.markup import paragraph, table
from microtome.view.panel import Data
from microtome.view.panels.graph import graph_panel
from microtome.view.panels.proof import proof_panel
from microtome.view.tokens import plain, visible

TOP = 12


def graph_html(graph: Data) -> str:
    """The question and the most influential nodes of a graph (what `Graph.to_dict()` gives).

    Raises:
        FormatError: the dictionary is no whole graph.
    """
    fields, panel = Fields(graph, "graph"), graph_panel(graph)
    nodes = [node for node in panel["nodes"] if node["kind"] not in ("embedding", "position", "logit")]
    nodes.sort(key=lambda node: (-node["influence"], node["id"]))
    compared = ("counterfactual value",) if panel["compared"] else ()
    head = ("node", "token", "value", *compared, "attribution", "influence", "promotes")
    counts = f"{len(panel['nodes']):,} nodes, {len(panel['edges']):,} edges"
    if not nodes:
        return _asked(fields) + paragraph(f"{counts}; no unit is drawn")
    rows = [_node(node, compared=panel["compared"]) for node in nodes[:TOP]]
    return _asked(fields) + table(f"{counts}; the most influential:", head, rows, left=("node", "token", "promotes"))


def _node(node: Data, *, compared: bool) -> tuple[str, ...]:
    return (
        node["label"],
        node["token"],
        f"{node['value']:.4g}",
        *([_maybe(node["counterfactual_value"])] if compared else []),
        f"{node['attribution']:+.4g}",
        f"{node['influence']:.2%}",
        " ".join(token for token, _ in node["promotes"][:3]),
    )


def _maybe(number: float | None) -> str:
    return "—" if number is None else f"{number:.4g}"


def _asked(fields: Fields) -> str:
    target = " or ".join(map(visible, fields.texts("target")))
    against = " or ".join(map(visible, fields.texts("against"))) or "the mean logit"
    other = fields.maybe(Fields.number, "counterfactual_value")
    values = f"{fields.number('value'):+.4g}" + ("" if other is None else f", counterfactual {other:+.4g}")
    return paragraph(plain(fields.text("prompt")), strong=True) + paragraph(f"{target} − {against}: {values}")


def proof_html(proof: Data) -> str:
    """The verdict and both curves of a proof (what `Proof.to_dict()` gives), with every null.

    Raises:
        FormatError: the dictionary is no whole proof.
    """
    panel = proof_panel(proof)
    mark = "✓" if panel["holds"] else "✕"
    return paragraph(f"{mark} {panel['words']}", strong=True) + "".join(_curve(curve) for curve in panel["curves"])


def _curve(curve: Data) -> str:
    names = [null["name"] for null in curve["nulls"]]
    beside = {(null["name"], point["size"]): point for null in curve["nulls"] for point in null["points"]}
    rows = []
    for point in curve["points"]:
        interval = "—" if point["low"] is None else f"{point['low']:.2f} to {point['high']:.2f}"
        nulls = (beside.get((name, point["size"])) for name in names)
        shown = ("—" if null is None else f"{null['mean']:.2f} (p={null['p_value']:.2g})" for null in nulls)
        rows.append((f"{point['size']:,}", f"{point['value']:.2f}", interval, *shown))
    return table(curve["title"], ("units", curve["name"], "interval", *(f"{name} null" for name in names)), rows)


def certificate_html(certificate: Data) -> str:
    """The checks of an opened model: `{"title": …, "rows": [{name, value, tolerance, passed}, …]}`.

    A value or a tolerance may be a number, a text or None (reported, not judged).

    Raises:
        FormatError: a row lacks a name, or says neither that it passed nor that it did not.
    """
    fields = Fields(certificate, "certificate")
    checks = fields.parts("rows")
    rows = [
        (plain(row.text("name")), _figure(row, "value"), _figure(row, "tolerance"), _outcome(row)) for row in checks
    ]
    failed = sum(row.row.get("passed") is False for row in checks)
    verdict = "every check passed" if failed == 0 else f"{failed} of {len(checks)} checks failed"
    return table(
        f"{plain(fields.text('title'))}: {verdict}", ("check", "value", "tolerance", ""), rows, left=("check", "")
    )


def _figure(row: Fields, key: str) -> str:
    value = row.row.get(key)
    if value is None:
        return "—"
    return plain(value) if isinstance(value, str) else f"{row.number(key):.3g}"


def _outcome(row: Fields) -> str:
    passed = row.maybe(Fields.flag, "passed")
    return "reported" if passed is None else "passed" if passed else "FAILED"


def prediction_html(prediction: Data) -> str:
    """Next tokens of a prompt (what `Prediction.to_dict()` gives).

    Raises:
        FormatError: the dictionary is no whole prediction.
    """
    rows = [
        (
            visible(one.text("token")),
            f"{one.number('probability'):.2%}",
            f"{one.number('logit'):.3f}",
            f"{one.number('rank'):,.0f}",
        )
        for one in Fields(prediction, "prediction").parts("predictions")
    ]
    return table("next tokens:", ("token", "probability", "logit", "rank"), rows, left=("token",))


def lens_html(lens: Data) -> str:
    """A logit lens (what `LogitLens.to_dict()` gives): of its target at the last token, else of every token.

    Raises:
        FormatError: the dictionary is no whole lens.
    """
    fields = Fields(lens, "logit lens")
    prompt = [visible(one) for one in fields.texts("prompt")]
    depths, tokens, chances = fields.texts("depths"), fields.items("tokens"), fields.items("probabilities")
    target = fields.row.get("target")
    if target is None:
        rows = [
            (depth, *(f"{visible(token)} {chance:.0%}" for token, chance in zip(best, of_each, strict=True)))
            for depth, best, of_each in zip(depths, tokens, chances, strict=True)
        ]
        return table("the best token at each depth:", ("", *prompt), rows, left=("", *prompt))
    rows = [
        (depth, f"{ranks[-1]:,}", f"{logits[-1]:.3f}", f"{of_target[-1]:.2%}", visible(best[-1]))
        for depth, ranks, logits, of_target, best in zip(
            depths, target["ranks"], target["logits"], target["probabilities"], tokens, strict=True
        )
    ]
    title = f"{visible(target['token'])} after {prompt[-1]}:"
    return table(title, ("", "rank", "logit", "probability", "best"), rows, left=("", "best"))


def direct_html(direct: Data) -> str:
    """A direct attribution (what `DirectAttribution.to_dict()` gives), largest parts first.

    Raises:
        FormatError: the dictionary is no whole attribution.
    """
    fields = Fields(direct, "direct attribution")
    against = fields.maybe(Fields.text, "against")
    asked = f"{visible(fields.text('target'))} − {'the mean logit' if against is None else visible(against)}"
    parts = sorted(direct["parts"].items(), key=lambda part: -abs(part[1]))[:TOP]
    title = f"{asked}: {fields.number('value'):+.4g}; the largest of {len(direct['parts'])} parts:"
    return table(title, ("part", "logits"), [(name, f"{logits:+.4g}") for name, logits in parts], left=("part",))
