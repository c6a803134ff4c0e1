"""The report file: one file, strict policy, data that cannot leave its script element, whole or not at all."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import sample_results as samples

from microtome.core.errors import FormatError, WrongUse
from microtome.report.writer import as_script_data, report
from unchecked import unchecked

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "\"'`&amp;\\",
    "\u2028\u2029",
    "\x00\x07",
    "\ud800",
    "\u202eolleh",
    "שלום",
    "👩\u200d🔬",
    "${title}",
]


class Elements(HTMLParser):
    """The elements of a page, with attributes and the raw text inside scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])
        self.open = True

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.found[-1][2] += data

    def all(self, tag):
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


@pytest.fixture
def written(tmp_path):
    return report(samples.graph(words=HOSTILE), samples.proof(), tmp_path / "out" / "r.html", title='</title>"<x>')


def test_hostile_text_arrives_unharmed_and_inside_its_script_element(written):
    page = Elements(written.read_text(encoding="utf-8"))
    scripts = page.all("script")
    assert len(scripts) == 2
    data = json.loads(scripts[0][1])
    promoted = {token for node in data["panels"][1]["data"]["nodes"] for token, _ in node["promotes"]}
    assert "</script><script>alert(1)</script>" in promoted
    assert "${title}" in promoted
    assert "⟨U+202E⟩olleh" in promoted
    assert "\ufffd" in promoted
    assert page.all("title")[0][1] == '</title>"<x>'
    assert not page.all("x")


def test_script_data_is_ascii_without_markup_and_says_the_same():
    text = as_script_data(HOSTILE)
    assert text.isascii()
    assert not set(text) & set("<>&")
    assert json.loads(text) == HOSTILE
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_script_data([float("nan")])


def test_the_policy_admits_this_script_and_this_style_and_nothing_else(written):
    page = Elements(written.read_text(encoding="utf-8"))
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    sha = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"  # noqa: E731
    assert rules == {
        "default-src": "'none'",
        "script-src": sha(page.all("script")[1][1]),
        "style-src": sha(page.all("style")[0][1]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_nothing_in_the_page_names_a_place_outside(written):
    page = Elements(written.read_text(encoding="utf-8"))
    assert not [a for _, a, _ in page.found if {"src", "href", "srcset", "action"} & set(a)]
    code = page.all("script")[1][1] + page.all("style")[0][1]
    assert set(re.findall(r"https?://[^\"' ]+", code)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|@import|url\(", code)


def test_a_long_prompt_is_cut_in_the_title_and_whole_among_the_tokens(tmp_path):
    graph = samples.graph(samples.LONG, samples.LONG_OTHER)
    page = Elements(report(graph, None, tmp_path / "r.html").read_text(encoding="utf-8"))
    title = page.all("title")[0][1]
    assert title.startswith("When Mary and John")
    assert title.endswith("gave a drink to: ' Paris' over ' Berlin'")
    assert len(title) < 110 < len(graph["prompt"])
    chips = json.loads(page.all("script")[0][1])["panels"][0]["data"]["prompt"]
    assert len(chips) == len(samples.LONG)


def test_the_same_results_give_the_same_bytes(tmp_path):
    one = report(samples.graph(), samples.proof(), tmp_path / "1.html").read_bytes()
    two = report(samples.graph(), samples.proof(), tmp_path / "2.html").read_bytes()
    assert one == two


def test_a_broken_result_leaves_the_old_file_and_no_other(tmp_path):
    path = report(samples.graph(), None, tmp_path / "r.html")
    before = path.read_bytes()
    broken = samples.graph()
    broken["nodes"][0]["value"] = float("nan")
    with pytest.raises(FormatError):
        report(broken, None, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_objects_that_tell_themselves_are_taken(tmp_path):
    class Told:
        def __init__(self, values):
            self.values = values

        def to_dict(self):
            return self.values

    told = report(Told(samples.graph()), Told(samples.proof()), tmp_path / "1.html")
    assert told.read_bytes() == report(samples.graph(), samples.proof(), tmp_path / "2.html").read_bytes()


def test_a_folder_is_no_report(tmp_path):
    with pytest.raises(WrongUse, match="a folder of that name"):
        report(samples.graph(), None, tmp_path)


def test_a_graph_alone_needs_a_path_and_no_proof(tmp_path):
    assert report(samples.graph(), path=tmp_path / "r.html").read_bytes()
    with pytest.raises(WrongUse, match="no path\n  do:    name the file"):
        report(samples.graph())


@pytest.mark.parametrize(
    "results, found",
    [
        ((samples.graph(), samples.graph()), "two results of the kind 'graph'"),
        ((samples.graph(), samples.graph() | {"card": {"kind": "dictionary"}}), "a result of the kind 'dictionary'"),
        ((3, None), "a value of type int where a result should stand"),
        ((None,), "no results"),
        ((samples.graph(), "r.html"), "a value of type str where a result should stand"),
    ],
)
def test_what_is_no_result_of_a_page_is_said(tmp_path, results, found):
    with unchecked(), pytest.raises(WrongUse) as error:
        report(*results, tmp_path / "r.html")
    assert error.value.found == found
    assert list(tmp_path.iterdir()) == []


def test_the_proof_of_a_task_is_a_page_of_its_own(tmp_path):
    page = Elements(report(samples.proof(), tmp_path / "r.html").read_text(encoding="utf-8"))
    shown = json.loads(page.all("script")[0][1])["panels"]
    assert [panel["name"] for panel in shown] == ["proof", "card"]
