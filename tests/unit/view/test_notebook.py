"""Notebook fragments: parsed as a browser would, so that hostile text is seen to be text."""

from html.parser import HTMLParser

import pytest
import sample_results as samples
import torch

import microtome as mt
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import FormatError
from microtome.model.measuring import measure
from microtome.view.notebook import certificate_html, graph_html, proof_html

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


class Page(HTMLParser):
    """Tags, the names of their attributes, and the text of each table row."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.attributes, self.rows, self.text = [], set(), [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_a_graph_shows_its_most_influential_nodes():
    graph = samples.graph()
    page = Page(graph_html(graph))
    units = [node for node in graph["nodes"] if node["kind"] in ("unit", "bias", "error")]
    first = max(units, key=lambda node: node["influence"])
    assert page.rows[1][0] == first["label"]
    assert page.rows[0][2:5] == ["value", "counterfactual value", "attribution"]
    assert page.rows[1][2:5] == [
        f"{first['value']:.4g}",
        f"{first['counterfactual_value']:.4g}",
        f"{first['attribution']:+.4g}",
    ]
    assert len(page.rows) == 1 + 12
    assert "␣Paris − ␣Berlin: +4.214, counterfactual -3.905" in page.text


def test_without_a_counterfactual_there_is_no_column_for_it():
    page = Page(graph_html(samples.graph(other=None)))
    assert page.rows[0][2:4] == ["value", "attribution"]


def test_a_graph_without_units_says_so():
    graph = samples.graph(n_units=0, n_edges=0)
    page = Page(graph_html(graph))
    assert page.rows == []
    assert "no unit is drawn" in page.text


def test_a_proof_shows_both_curves_and_every_null():
    page = Page(proof_html(samples.proof(holds=False, n=40)))
    assert page.text.startswith("✕ The units that change most keep as much")
    assert page.rows[0] == ["units", "faithfulness", "interval", "matched random null", "change null"]
    assert page.rows[4][:3] == ["3,000", "0.81", "0.75 to 0.86"]
    assert len(page.rows) == 2 * 5


def test_a_certificate_says_what_failed():
    rows = [
        {"name": "max |Δlogit|, nothing edited", "value": 0.0, "tolerance": 0.0, "passed": True},
        {"name": "stream adds up", "value": 0.25, "tolerance": 1e-5, "passed": False},
        {"name": "dtype", "value": "float32", "tolerance": None, "passed": None},
    ]
    page = Page(certificate_html({"title": "smollm2", "rows": rows}))
    assert "smollm2: 1 of 3 checks failed" in page.text
    assert page.rows[2] == ["stream adds up", "0.25", "1e-05", "FAILED"]
    assert page.rows[3] == ["dtype", "float32", "—", "reported"]


@pytest.mark.parametrize("fragment", ["graph", "proof", "certificate"])
def test_hostile_text_stays_text(fragment):
    graph, proof = samples.graph(words=[HOSTILE, "\u202eabc"]), samples.proof()
    graph["prompt"] = proof["verdict"]["words"] = HOSTILE
    for node in graph["nodes"]:
        node["label"] = HOSTILE
    certificate = {"title": HOSTILE, "rows": [{"name": HOSTILE, "value": HOSTILE, "tolerance": None, "passed": True}]}
    html = {
        "graph": lambda: graph_html(graph),
        "proof": lambda: proof_html(proof),
        "certificate": lambda: certificate_html(certificate),
    }[fragment]()
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert HOSTILE in page.text
    assert "\u202e" not in html


def test_a_certificate_row_without_a_name_is_refused():
    with pytest.raises(FormatError, match=r"certificate\.rows\[0\]\.name"):
        certificate_html({"title": "x", "rows": [{"value": 1.0, "tolerance": None, "passed": True}]})


ANY = ProofConfig(floor=0.0)  # tiny models change their minds by little


@pytest.fixture(scope="module")
def traced(tiny):
    model = tiny("llama", torch.float32)
    return model, mt.trace(model, [5, 6, 7, 8], [5, 9, 7, 8], target=3, against=4, max_nodes=16)


def test_results_show_themselves_as_html_that_stands_alone(traced):
    model, graph = traced
    proof, certificate = mt.prove(model, graph, sizes=(5, 10), draws=3, config=ANY), measure(model)
    for result, said in ((graph, "<6>"), (proof, proof.verdict.words), (certificate, "watched pass")):
        page = Page(result._repr_html_())
        assert said in page.text
        assert len(page.rows) > 2
        assert set(page.tags) <= {"p", "strong", "bdi", "table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert page.attributes == {"style"}


def test_a_graph_shows_what_it_holds(traced):
    _, graph = traced
    shown = [row[0] for row in Page(graph._repr_html_()).rows[1:]]
    drawn = sorted((node for node in graph.nodes if node.kind == "unit"), key=lambda node: -node.influence)
    assert [name for name in shown if "unit" in name] == [node.label for node in drawn][:12]


def test_a_graph_as_tables_and_as_a_network_says_the_same(traced):
    _, graph = traced
    nodes, edges = graph.to_pandas()
    network = graph.to_networkx()
    assert list(nodes["id"]) == [node.id for node in graph.nodes] == list(network)
    assert list(nodes["attribution"]) == [node.attribution for node in graph.nodes]
    assert list(edges["weight"]) == [edge.weight for edge in graph.edges]
    for edge in graph.edges:
        assert network.edges[edge.source, edge.target]["weight"] == edge.weight
        assert network.nodes[edge.source]["kind"] in ("embedding", "unit", "bias", "error")
