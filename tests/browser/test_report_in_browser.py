"""The report, driven as a reader drives it: click, slide, search, group, reload. No test looks at a clock."""

import json
import re
from itertools import pairwise

import pytest
import sample_results as samples

from microtome.report.writer import report

pytestmark = pytest.mark.browser

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\"'`onmouseover=alert(3)//",
    "שלום",
    "\u202eabc",
    "a\nb",
    "\x00",
    "👩\u200d🔬",
    "\ud800",
    "&lt;b&gt;",
]


@pytest.fixture(scope="module")
def graph():
    return samples.graph()


@pytest.fixture(scope="module")
def path(graph, tmp_path_factory):
    return report(graph, samples.proof(), tmp_path_factory.mktemp("report") / "r.html")


def number(locator):
    return float(locator.get_attribute("value"))


def settle(page):
    """Waits until what was set has been drawn: two frames."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def find(page, text):
    """Searches for a node and pins the first one found."""
    page.fill("#search", text)
    page.locator(".found button.node").first.click()
    settle(page)


def slide(page, which, position):
    page.locator(f"#threshold-{which}").evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input', {bubbles: true})); }", position
    )
    settle(page)


def middle_of_ring(page):
    page.locator(".stage").focus()  # a key pressed later would, and may scroll the page
    box = page.locator(".ring").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pinned(page):
    return page.locator(".details h3.pinned").get_attribute("data-node")


def unit_with_most_edges(graph):
    units = [node for node in graph["nodes"] if node["kind"] == "unit"]
    degree = lambda node: sum(node["id"] in (e["source"], e["target"]) for e in graph["edges"])  # noqa: E731
    return max(units, key=lambda node: (degree(node), node["id"]))


def test_the_head_says_what_was_asked_and_whether_it_holds(opened, path):
    page = opened(path)
    assert page.locator(".verdict").get_attribute("data-state") == "holds"
    assert page.locator(".verdict h2").inner_text() == "Holds on this prompt: enough, and needed"
    assert page.locator(".asked .chip.differs").all_inner_texts() == ["␣France", "␣Germany"]
    assert page.locator(".asked .chip.target").inner_text() == "␣is"
    assert [number(page.locator(".values data").nth(at)) for at in (0, 1)] == [4.2137, -3.905]


def test_the_head_says_so_when_a_null_is_not_beaten(opened, graph, tmp_path):
    page = opened(report(graph, samples.proof(holds=False, n=40), tmp_path / "r.html"))
    assert page.locator(".verdict").get_attribute("data-state") == "fails"
    assert page.locator(".verdict h2").inner_text() == "Not proven on the task"
    assert "does not beat the change null" in page.locator(".verdict li.lost").inner_text()


def test_a_claim_that_holds_against_one_null_only_is_not_shown_as_settled(opened, graph, tmp_path):
    proof = samples.proof(holds=False)
    proof["verdict"]["holds"] = True
    page = opened(report(graph, proof, tmp_path / "r.html"))
    assert page.locator(".verdict").get_attribute("data-state") == "doubt"
    assert "not against every null" in page.locator(".verdict h2").inner_text()


def test_without_a_proof_the_head_says_not_tested(opened, tmp_path):
    page = opened(report(samples.graph(other=None), None, tmp_path / "r.html"))
    assert page.locator(".verdict").get_attribute("data-state") == "untested"
    assert page.locator("#proof").count() == 0
    assert page.locator(".asked .chip.differs").count() == 0


def test_the_verdict_stands_once_and_every_word_of_the_overview_is_explained(opened, path):
    page = opened(path)
    words = samples.proof()["verdict"]["words"]
    assert page.locator("body").inner_text().count(words) == 1
    titles = [term.get_attribute("title") for term in page.locator(".details dt").all()]
    assert len(titles) == 7
    assert all(titles)
    find(page, "unit.")
    titles = [term.get_attribute("title") for term in page.locator(".numbers dt").all()]
    assert len(titles) == 7
    assert all(titles)
    assert "final norm" in page.locator(".promotes h4 span").get_attribute("title")


def test_bars_begin_at_the_same_place(opened, path):
    page = opened(path)
    boxes = [bar.bounding_box() for bar in page.locator(".details .bar").all()]
    assert len({round(box["x"], 1) for box in boxes}) == 1
    widths = [box["width"] for box in boxes]
    assert widths == sorted(widths, reverse=True)


def test_a_graph_without_units_says_so_and_is_low(opened, graph, path, tmp_path):
    tall = opened(path).locator(".stage").bounding_box()["height"]
    page = opened(report(samples.graph(n_units=0, n_edges=0), None, tmp_path / "r.html"))
    assert "No unit is drawn" in page.locator(".details").inner_text()
    assert page.locator(".stage").bounding_box()["height"] < 0.7 * tall


def test_without_a_counterfactual_the_page_says_what_units_are_compared_with(opened, tmp_path):
    proof = samples.proof()
    proof["card"] = proof["card"] | {"data": {"counterfactual_ids": None}}
    page = opened(report(samples.graph(other=None), proof, tmp_path / "r.html"))
    assert "means over neutral prompts" in page.locator(".asked").inner_text()
    assert "differ from their neutral means" in page.locator("#proof").inner_text()
    assert "counterfactual" not in page.locator("#proof figure").first.inner_text()


def test_a_click_pins_a_node_with_all_its_numbers(opened, graph, path):
    page = opened(path)
    node = unit_with_most_edges(graph)
    find(page, node["id"])
    where = middle_of_ring(page)
    page.locator(".stage").press("Escape")
    settle(page)
    assert page.locator(".details h3.pinned").count() == 0
    page.mouse.click(*where)
    settle(page)
    assert pinned(page) == node["id"]
    shown = page.locator(".numbers dd data")
    keys = ("value", "counterfactual_value", "attribution", "direct", "influence", "remainder")
    expected = [node[key] for key in keys]
    assert [number(shown.nth(at)) for at in range(7)] == pytest.approx([*expected, node["nonlinear"]], rel=1e-6)
    assert float(shown.first.inner_text().replace("−", "-")) == pytest.approx(node["value"], rel=1e-3)
    for key, sign in (("promotes", 1), ("suppresses", -1)):
        weights = page.locator(f".vocabulary .{key} data")
        expected = [weight for _, weight in node["moves"] if weight * sign > 0]
        assert [number(weights.nth(at)) for at in range(5)] == pytest.approx(expected)


@pytest.mark.parametrize("key, mine, other", [("inputs", "target", "source"), ("outputs", "source", "target")])
def test_neighbours_are_listed_strongest_first_with_their_heads(opened, graph, path, key, mine, other):
    page = opened(path)
    node = unit_with_most_edges(graph)
    find(page, node["id"])
    edges = sorted((e for e in graph["edges"] if e[mine] == node["id"]), key=lambda e: -abs(e["weight"]))
    rows = page.locator(f".details .{key} li.edge")
    assert rows.count() == min(10, len(edges)) > 2
    for row, edge in zip(rows.all(), edges, strict=False):
        assert row.locator("button.node").get_attribute("data-node") == edge[other]
        assert number(row.locator("> data")) == pytest.approx(edge["weight"], rel=1e-6)
        heads = [text.split()[0] for text in row.locator(".head").all_inner_texts()]
        assert heads == [f"{layer}.{head}" for layer, head, _ in edge["heads"]]
        if edge["residual"] != 0:
            assert number(row.locator(".stream data")) == pytest.approx(edge["residual"], rel=1e-6)
    rows.first.locator("button.node").click()
    settle(page)
    assert pinned(page) == edges[0][other]


def test_hovering_shows_a_tip_and_leaving_takes_it_away(opened, graph, path):
    page = opened(path)
    node = unit_with_most_edges(graph)
    find(page, node["id"])
    where = middle_of_ring(page)
    page.locator(".stage").press("Escape")
    page.mouse.move(*where)
    settle(page)
    tip = page.locator(".tip")
    assert tip.is_visible()
    assert tip.locator("strong").inner_text() == node["label"]
    assert number(tip.locator("data").first) == pytest.approx(node["value"], rel=1e-6)
    page.mouse.move(5, 5)
    settle(page)
    assert not tip.is_visible()


def count_shown(page, which):
    return int(re.match(r"([\d,]+) of", page.locator(f"#kept-{which}").inner_text())[1].replace(",", ""))


def test_sliders_keep_the_strongest_and_say_what_share_they_hold(opened, graph, path):
    page = opened(path)
    anchors = [n for n in graph["nodes"] if n["kind"] in ("embedding", "position", "logit")]
    ranked = sorted((n for n in graph["nodes"] if n not in anchors), key=lambda n: -n["influence"])
    assert count_shown(page, "nodes") == len(graph["nodes"])
    slide(page, "nodes", 500)
    kept = count_shown(page, "nodes") - len(anchors)
    assert kept == -int(-(len(ranked) ** 0.5) // 1)
    share = sum(n["influence"] for n in ranked[:kept]) / sum(n["influence"] for n in ranked)
    said = float(re.search(r"([\d.]+)% of all influence", page.locator("#kept-nodes").inner_text())[1])
    assert said == pytest.approx(100 * share, rel=0.01)
    slide(page, "nodes", 1000)
    assert count_shown(page, "nodes") == len(anchors)
    assert "tokens and logits only" in page.locator("#kept-nodes").inner_text()


def carried(graph):
    """Each edge with its reader's influence times its share of all that the reader is given."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    given = {key: abs(node["remainder"]) + abs(node["nonlinear"] or 0) for key, node in nodes.items()}
    for edge in graph["edges"]:
        given[edge["target"]] += abs(edge["weight"])
    return [nodes[e["target"]]["influence"] * abs(e["weight"]) / given[e["target"]] for e in graph["edges"]]


def test_at_first_only_the_edges_that_carry_most_are_shown(opened, graph, path):
    page = opened(path)
    amounts = sorted(carried(graph), reverse=True)
    kept = count_shown(page, "edges")
    assert kept == min(80, next(k for k in range(len(amounts)) if sum(amounts[:k]) >= 0.8 * sum(amounts)))
    said = float(re.search(r"([\d.]+)% of what edges carry", page.locator("#kept-edges").inner_text())[1])
    assert said == pytest.approx(100 * sum(amounts[:kept]) / sum(amounts), rel=0.01)


def test_edges_are_counted_only_where_both_ends_are_shown(opened, graph, path):
    page = opened(path)
    slide(page, "edges", 0)
    assert count_shown(page, "edges") == len(graph["edges"])
    slide(page, "nodes", 1000)
    anchors = {n["id"] for n in graph["nodes"] if n["kind"] in ("embedding", "position", "logit")}
    among = [e for e in graph["edges"] if {e["source"], e["target"]} <= anchors]
    assert count_shown(page, "edges") == len(among) > 0
    slide(page, "edges", 1000)
    assert count_shown(page, "edges") == 0


def test_finding_a_hidden_node_lowers_the_threshold_as_far_as_it_needs(opened, graph, path):
    page = opened(path)
    slide(page, "nodes", 1000)
    before = page.locator(".stage").screenshot()
    weakest = min((n for n in graph["nodes"] if n["kind"] == "unit"), key=lambda n: n["influence"])
    find(page, weakest["id"])
    assert pinned(page) == weakest["id"]
    assert count_shown(page, "nodes") > 6
    assert page.locator(".ring").is_visible()
    assert page.locator(".stage").screenshot() != before


def test_search_finds_by_token_and_says_when_there_is_nothing(opened, graph, path):
    page = opened(path)
    page.fill("#search", " france")
    at = [n["id"] for n in graph["nodes"] if n["position"] == 3]
    found = page.locator(".found button.node")
    assert sorted(button.get_attribute("data-node") for button in found.all()) == sorted(at)
    page.fill("#search", "no such thing")
    assert found.count() == 0
    assert "no node has that" in page.locator(".found").inner_text()


def test_arrow_keys_walk_through_the_graph(opened, path):
    page = opened(path)
    stage = page.locator(".stage")
    stage.press("ArrowDown")
    settle(page)
    assert pinned(page) == "logit.0"
    start = middle_of_ring(page)
    stage.press("ArrowDown")
    settle(page)
    below = pinned(page)
    assert below != "logit.0"
    assert middle_of_ring(page)[1] > start[1]
    stage.press("Escape")
    settle(page)
    assert page.locator(".ring").is_hidden()


def place_of(page, node):
    find(page, node["id"])
    return middle_of_ring(page)


def test_tokens_run_rightwards_layers_upwards_and_the_strongest_of_a_cell_stand_first(opened, tmp_path):
    graph = samples.graph()
    units = [n for n in graph["nodes"] if n["kind"] == "unit"][:6]
    for at, node in enumerate(units):  # six in one cell, four across: two lines
        node.update(layer=10, position=4, influence=0.9 - 0.1 * at)
    for node in graph["nodes"]:
        if node not in units and (node["layer"], node["position"]) == (10, 4):
            node["layer"] = 11
    page = opened(report(graph, None, tmp_path / "r.html"))
    cell = [place_of(page, node) for node in units]
    assert cell[0][0] < cell[1][0] < cell[2][0] < cell[3][0]
    assert cell[0][1] == pytest.approx(cell[3][1], abs=0.5)
    assert cell[4][1] > cell[0][1] + 2  # further down the screen
    tokens = [place_of(page, node) for node in graph["nodes"] if node["kind"] == "embedding"]
    assert [x for x, _ in tokens] == sorted(x for x, _ in tokens)
    logit = place_of(page, graph["nodes"][-1])
    assert logit[1] < min(y for _, y in cell) < max(y for _, y in cell) < min(y for _, y in tokens)


def test_zooming_spreads_nodes_around_the_pinned_one_and_fit_brings_everything_back(opened, graph, path):
    page = opened(path)
    beside, start = place_of(page, graph["nodes"][4]), place_of(page, graph["nodes"][3])
    page.get_by_title("Zoom in").click()
    settle(page)
    assert middle_of_ring(page)[0] == pytest.approx(start[0], abs=0.5)
    spread = place_of(page, graph["nodes"][4])[0] - start[0]
    assert spread == pytest.approx(1.35 * (beside[0] - start[0]), rel=0.01)
    page.get_by_title("Show everything").click()
    settle(page)
    assert middle_of_ring(page) == pytest.approx(beside, abs=0.5)


def make_group(page, nodes, name):
    page.click("#new-group")
    settle(page)
    for node in nodes:
        find(page, node)
        page.keyboard.down("Shift")
        page.mouse.click(*middle_of_ring(page))
        page.keyboard.up("Shift")
        settle(page)
    page.locator(".group input[type=text]").last.fill(name)
    settle(page)


def groups_on(page):
    items = page.locator(".groups .group").all()
    members = [[b.get_attribute("data-node") for b in item.locator("button.node").all()] for item in items]
    names = [item.locator("input[type=text]").input_value() for item in items]
    return list(zip(names, members, strict=True))


def test_groups_survive_a_reload(opened, graph, path):
    page = opened(path)
    ids = [n["id"] for n in graph["nodes"] if n["kind"] == "unit"][:3]
    make_group(page, ids[:2], "countries <b>&")
    make_group(page, ids[2:], "second")
    page.reload()
    page.wait_for_selector(".group")
    assert groups_on(page) == [("countries <b>&", ids[:2]), ("second", ids[2:])]
    page.locator(".group").first.get_by_text("Remove").click()
    settle(page)
    page.reload()
    page.wait_for_selector(".group")
    assert groups_on(page) == [("second", ids[2:])]


def test_groups_travel_as_a_file(opened, graph, path, tmp_path):
    page = opened(path)
    ids = [n["id"] for n in graph["nodes"] if n["kind"] == "unit"][3:6]
    make_group(page, ids, "late units")
    with page.expect_download() as waiting:
        page.click("#save-groups")
    saved = tmp_path / "groups.json"
    waiting.value.save_as(saved)
    assert json.loads(saved.read_text())["groups"] == [{"name": "late units", "nodes": ids}]

    elsewhere = opened(path)  # another context: nothing is remembered there
    assert groups_on(elsewhere) == []
    elsewhere.set_input_files("#groups-file", saved)
    elsewhere.wait_for_selector(".group")
    assert groups_on(elsewhere) == [("late units", ids)]
    assert elsewhere.locator(".message").inner_text() == "1 group loaded."


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "This is no JSON file."),
        ('{"kind": "graph"}', "This is no file of groups that this page can read."),
        ('{"kind":"groups","format":1,"groups":[{"name":"x","nodes":[3]}]}', "This is no file of groups"),
        (
            '{"kind":"groups","format":1,"fingerprint":"other","groups":[{"name":"x","nodes":["logit.0","gone"]}]}',
            "1 group loaded. They were made on another graph. 1 node of them is not in this graph.",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_answered_in_words(opened, path, tmp_path, text, said):
    page = opened(path)
    (tmp_path / "g.json").write_text(text)
    page.set_input_files("#groups-file", tmp_path / "g.json")
    page.wait_for_function("() => document.querySelector('.message').textContent !== ''")
    assert page.locator(".message").inner_text().startswith(said)


def test_shift_click_takes_a_node_out_again(opened, graph, path):
    page = opened(path)
    node = unit_with_most_edges(graph)["id"]
    make_group(page, [node], "one")
    assert groups_on(page) == [("one", [node])]
    page.locator(".stage").focus()
    page.keyboard.press("Enter")
    settle(page)
    assert groups_on(page) == [("one", [])]


def test_the_proof_is_drawn_with_both_nulls(opened, graph, tmp_path):
    proof = samples.proof(n=40)
    page = opened(report(graph, proof, tmp_path / "r.html"))
    for name in ("faithfulness", "completeness"):
        figure = page.locator(f"figure[data-curve={name}]")
        assert figure.locator(".plot .point").count() == 4
        assert figure.locator(".plot .interval").count() == 4
        assert figure.locator(".plot .null.mean").count() == 2
        legend = figure.locator(".legend").inner_text()
        assert "matched random null" in legend
        assert "change null" in legend
        assert "95% interval" in legend
        heights = [float(point.get_attribute("cy")) for point in figure.locator(".plot .point").all()]
        assert heights == sorted(heights, reverse=name == "faithfulness")
        places = [float(point.get_attribute("cx")) for point in figure.locator(".plot .point").all()]
        steps = [b - a for a, b in pairwise(places)]
        assert steps[0] == pytest.approx(steps[2], rel=1e-3)  # 100 to 300 is as far as 1,000 to 3,000
    page.get_by_text("The numbers").click()
    rows = page.locator("#proof table.figures").first.locator("tbody tr")
    values = [number(rows.nth(at).locator("data").first) for at in range(4)]
    assert values == pytest.approx([one["value"] for one in proof["faithfulness"]], rel=1e-6)


def test_hostile_text_is_text_everywhere(opened, tmp_path):
    graph = samples.graph(HOSTILE[:5], HOSTILE[5:], words=HOSTILE)
    graph["summary"] = {"<img src=x onerror=alert(4)>": HOSTILE[0]}
    graph["card"]["command"] = HOSTILE[1]
    graph["nodes"][8]["label"] = HOSTILE[1]
    page = opened(report(graph, samples.proof(), tmp_path / "r.html", title=HOSTILE[1]))
    assert page.locator(".asked .row").first.locator(".chip").all_inner_texts() == [
        "<script>alert(1)</script>",
        "</script><img␣src=x␣onerror=alert(2)>",
        "\"'`onmouseover=alert(3)//",
        "שלום",
        "⟨U+202E⟩abc",
    ]
    assert "a⏎b" in page.locator(".asked .row").nth(1).inner_text()
    find(page, graph["nodes"][8]["id"])
    assert page.locator(".details h3").first.inner_text() == HOSTILE[1]
    page.mouse.move(*middle_of_ring(page))
    settle(page)
    assert page.title() == HOSTILE[1]
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    chip = page.locator(".chip", has_text="שלום").first
    assert chip.evaluate("(e) => [e.tagName, getComputedStyle(e).unicodeBidi]") == ["BDI", "isolate"]


def test_the_policy_stops_what_the_page_should_never_do(browser, path):
    """The policy itself is put to the test: a request and an inline handler, made by force, do not get out."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    asked = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    blocked = page.evaluate(
        """async () => {
            const fetched = await fetch("http://127.0.0.1:9/").then(() => "out", () => "stopped");
            const run = "'window.ran = 1'";
            document.body.insertAdjacentHTML("beforeend", `<img src=x onerror=${run}><b onclick=${run}>x</b>`);
            document.body.lastElementChild.click();
            return [fetched, window.ran ?? "nothing ran"];
        }"""
    )
    context.close()
    assert blocked == ["stopped", "nothing ran"]
    assert asked == []


def background(page):
    return page.evaluate("() => getComputedStyle(document.body).backgroundColor")


def canvas_mean(page):
    """Mean brightness of the drawn pixels of the canvas."""
    return page.evaluate(
        """() => {
            const canvas = document.querySelector("canvas.base");
            const sheet = new OffscreenCanvas(canvas.width, canvas.height);
            const copy = sheet.getContext("2d", { willReadFrequently: true });
            copy.drawImage(canvas, 0, 0);
            const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
            let [sum, count] = [0, 0];
            for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 250) { sum += data[at + 1]; count += 1; }
            return sum / count;
        }"""
    )


def test_both_themes_and_paper(opened, path):
    page = opened(path, color_scheme="dark")
    settle(page)
    dark = (background(page), canvas_mean(page))
    page.emulate_media(color_scheme="light")
    settle(page)
    settle(page)
    light = (background(page), canvas_mean(page))
    assert light[0] != dark[0]
    assert light[1] > 150 > 100 > dark[1]
    page.emulate_media(color_scheme="dark")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    settle(page)
    assert background(page) == light[0]
    assert canvas_mean(page) == pytest.approx(light[1], abs=2)


@pytest.mark.parametrize("width", [1300, 700, 360])
def test_a_narrow_window_never_scrolls_sideways(opened, path, width):
    page = opened(path, viewport={"width": width, "height": 800})
    find(page, "logit")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    box = page.locator(".stage").bounding_box()
    assert box["width"] > 0.4 * width
    assert box["height"] > 300


def test_two_thousand_nodes_stay_usable(opened, tmp_path):
    graph = samples.graph(samples.LONG, samples.LONG_OTHER, n_units=1990, n_edges=10_000)
    page = opened(report(graph, samples.proof(n=40), tmp_path / "r.html"))
    total = len(graph["nodes"])
    assert total > 2000
    assert count_shown(page, "nodes") == total
    slide(page, "edges", 0)
    assert count_shown(page, "edges") == len(graph["edges"]) > 10_000
    counts = []
    box = page.locator("#threshold-nodes").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    for step in range(21):
        page.mouse.move(box["x"] + 8 + (box["width"] - 16) * step / 20, y)
        settle(page)
        counts.append(count_shown(page, "nodes"))
    page.mouse.up()
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0.9 * total
    assert counts[-1] <= len(samples.LONG) + 3
    slide(page, "nodes", 0)
    strongest = max((n for n in graph["nodes"] if n["kind"] == "unit"), key=lambda n: n["influence"])
    find(page, strongest["id"])
    where = middle_of_ring(page)
    page.locator(".stage").press("Escape")
    settle(page)
    page.mouse.click(*where)
    settle(page)
    assert pinned(page) == strongest["id"]
    assert len(page.locator(".stage").screenshot()) > 50_000
