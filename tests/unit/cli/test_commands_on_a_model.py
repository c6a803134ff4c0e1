"""Commands that open a model, on a tiny one from a folder: what they write, and what they say of wrong input."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch
from at_a_terminal import COMMAND, sent_to
from safetensors.torch import load_file, save_file

from microtome.core.sites import KINDS

CLEAN, OTHER = "the cat", "the car"
QUICK = ["--nodes", "8", "--sizes", "5,10", "--draws", "2"]
ASKED = ["--counterfactual", OTHER, "--target", "p", "--against", "a"]
TRACE_KEYS = {
    "prompt", "tokens", "target", "against", "value", "counterfactual_value", "nodes", "edges", "ranking", "proof",
    "card",
}  # fmt: skip
NODE_KEYS = {
    "id", "kind", "layer", "position", "unit", "value", "attribution", "influence", "remainder", "nonlinear",
}  # fmt: skip
MANY = "100000"  # draws that no machine is done with before its progress shows, a second later
PROOF_KEYS = {"sizes", "faithfulness", "completeness", "nulls", "areas", "verdict"}


@pytest.fixture
def traced(invoke, folder) -> Path:
    """A graph that the command wrote."""
    done = invoke("trace", CLEAN, *ASKED, *QUICK, "--no-prove", "--model", str(folder), "--graph", "graph.json")
    assert done.code == 0, done.err
    return Path("graph.json")


def test_trace_gives_one_document_with_the_promised_keys_and_writes_both_files(invoke, folder):
    files = ["--out", "new/report.html", "--graph", "new/graph.json"]
    done = invoke("trace", CLEAN, *ASKED, *QUICK, "--model", str(folder), *files, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found.keys() >= TRACE_KEYS
    assert all(node.keys() >= NODE_KEYS for node in found["nodes"])
    assert found["edges"][0].keys() >= {"source", "target", "weight"}
    assert found["proof"].keys() >= PROOF_KEYS
    assert sorted(path.name for path in Path("new").iterdir()) == ["graph.json", "report.html"]
    assert {**found, "proof": None} == {**json.loads(Path("new/graph.json").read_text()), "proof": None}
    assert found["proof"]["verdict"]["words"] in done.err  # the words for people
    assert f"report: {Path('new/report.html')}" in done.err


def test_units_are_ranked_by_the_rule_that_was_named(invoke, folder):
    ruled = ["--rule", "half", "--model", str(folder), "--json"]
    found = json.loads(invoke("trace", CLEAN, *ASKED, *QUICK, *ruled).out)
    assert found["card"]["config"]["rule"] == found["proof"]["card"]["config"]["rule"] == "half"
    default = json.loads(invoke("trace", CLEAN, *ASKED, *QUICK, "--model", str(folder), "--json").out)
    assert found["ranking"] != default["ranking"]


def test_trace_without_json_speaks_to_people_alone(invoke, folder):
    done = invoke("trace", CLEAN, *ASKED, *QUICK, "--model", str(folder))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("'the cat': 'p' against 'a'\n")
    assert " on this prompt" in done.out


def test_a_graph_from_a_file_is_proved_as_it_was_traced(invoke, folder, traced):
    done = invoke("prove", str(traced), "--model", str(folder), *QUICK[2:], "--out", "proof.json", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads(Path("proof.json").read_text())
    direct = invoke("trace", CLEAN, *ASKED, *QUICK, "--model", str(folder), "--json")
    assert found["faithfulness"] == json.loads(direct.out)["proof"]["faithfulness"]


def test_a_graph_is_proved_on_the_model_that_it_names(invoke):
    cats = ["The cat sat on the", "--target", " hill", "--against", " park", "--no-prove", "--graph", "cat.json"]
    assert invoke("trace", *cats, "--model", "tiny").code == 0
    done = invoke("prove", "cat.json", "--sizes", "5,10", "--draws", "3")
    assert done.code == 0, done.err
    assert "over 1 prompt" in done.out


def test_inspect_shows_every_site_and_check(invoke, folder):
    words, document = invoke("inspect", str(folder)), invoke("inspect", str(folder), "--json")
    assert (words.code, words.err, document.code, document.err) == (0, "", 0, "")
    found = json.loads(document.out)
    assert found["certificate"]["passed"]
    assert {name.split(".0")[0] for name in found["sites"] if not name.endswith(".1")} == {kind.name for kind in KINDS}
    assert all(row["name"] in words.out for row in found["certificate"]["rows"])


def test_predict_gives_the_tokens_in_order(invoke, folder):
    found = json.loads(invoke("predict", CLEAN, "--model", str(folder), "--top", "4", "--json").out)
    assert found["tokens"] == ["the", " ", "c", "a", "t"]
    shares = [row["probability"] for row in found["predictions"]]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 4


def test_a_model_that_fails_a_check_leaves_with_4(invoke, folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"] = torch.zeros(64, 96)  # what it adds is dead
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    done = invoke("inspect", str(broken), "--json")
    assert done.code == 4
    assert not json.loads(done.out)["certificate"]["passed"]
    assert done.err.startswith("rely on the model 'broken'\n  found: ")


@pytest.mark.parametrize("text", ["", '{"format": 1, "val', '{"format": 1, "value": {"format": 2}}'])
def test_a_cache_that_is_half_written_is_written_again(invoke, folder, kept, text):
    whole = invoke("inspect", str(folder), "--json").out
    held = list(kept.rglob("certificate.json"))
    assert held
    for path in held:
        path.write_text(text)
    again = invoke("inspect", str(folder), "--json")
    assert (again.code, again.out) == (0, whole)
    assert any(len(path.read_text()) > 1000 for path in held)


@pytest.mark.parametrize(
    "arguments, code, what, found",
    [
        (["trace", ""], 2, "run the model", "no tokens"),
        (["trace", CLEAN, "--counterfactual", CLEAN], 2, "trace", "the same tokens as the prompt"),
        (["trace", CLEAN, "--counterfactual", "the cart"], 2, "of the same length", "6 tokens ['the', ' ', 'c', 'a'"),
        (["trace", CLEAN, "--target", "xy"], 3, "find the token 'xy'", "2 tokens of it: 'x' + 'y'"),
        (["trace", CLEAN, "--against", "y"], 2, "trace", "`against` without `target`"),
        (["trace", CLEAN, "--target", "x", "--against", "x"], 2, "trace", "'x' as target and against"),
        (["trace", CLEAN, "--basis", "neuron"], 3, "no basis is called 'neuron'", "the closest are 'neurons'"),
        (["trace", CLEAN, "--rule", "haf"], 3, "no rule is called 'haf'", "the closest are 'half'"),
        (
            ["prove", "graph.json", "--rule", "half"],
            2,
            "prove the graph",
            "a rule 'half', and a graph made with 'ig'",
        ),
        (["predict", ""], 2, "run the model", "no tokens"),
        (["predict", "a\udcffb"], 2, "make tokens of a text", "whose character 1 is no Unicode"),
        (["prove", "rows.jsonl"], 2, "fit the task 'rows'", "none of its 1 rows fits"),
        (["prove", "bad.jsonl"], 4, "read a row at bad.jsonl:1", "no key 'counterfactual'"),
        (["prove", "capitals"], 2, "fit the task 'capitals'", "none of its 50 rows fits"),
        (["prove", "cut.json"], 4, "read the graph cut.json", "no readable JSON"),
        (["prove", "other.json"], 4, "read the graph other.json", "no card, edges, nodes"),
        (["prove", "nodes.json"], 4, "read the graph nodes.json", "no whole graph ("),
        (["prove", "newer.json"], 4, "read the graph newer.json", "format 99"),
        (["prove", "card.json"], 4, "read the graph card.json", "no run card ("),
        (
            ["prove", "elsewhere.json"],
            2,
            "prove the graph of 'the cat' on the model",
            "another fingerprint (0123, here",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_told_from_the_model(invoke, folder, traced, arguments, code, what, found):
    graph = json.loads(traced.read_text())
    elsewhere = {**graph["card"], "model": {**graph["card"]["model"], "fingerprint": "0123"}}
    files = {
        "rows.jsonl": '{"clean": "ab", "counterfactual": "abc", "target": "x", "against": "y"}',
        "bad.jsonl": '{"clean": "ab"}',
        "cut.json": traced.read_text()[:5000],
        "other.json": "{}",
        "nodes.json": json.dumps({**graph, "nodes": [{"id": "x"}]}),
        "newer.json": json.dumps({**graph, "card": {**graph["card"], "format": 99}}),
        "card.json": json.dumps({**graph, "card": []}),
        "elsewhere.json": json.dumps({**graph, "card": elsewhere}),
    }
    for name, text in files.items():
        Path(name).write_text(text)
    done = invoke(*arguments, "--model", str(folder))
    first, second, third = done.err.splitlines()
    assert done.code == code
    assert what in first
    assert found in second
    assert third.startswith("  do:    ")
    assert done.out == ""


@pytest.mark.parametrize("option, name", [("--out", "r.html"), ("--graph", "g.json")])
def test_a_file_that_cannot_be_written_is_told_before_the_work(invoke, option, name):
    """The model does not exist either, and is not even looked for."""
    Path("file").write_text("in the way")
    done = invoke("trace", CLEAN, "--model", "nosuch", option, f"file/{name}")
    assert done.code == 2
    assert done.err.startswith(f"write file/{name}\n  found: ")
    assert done.err.splitlines()[1].endswith("/file is a file, no folder")


HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m\n"


def test_hostile_text_harms_neither_the_terminal_nor_the_page(invoke, folder):
    asked = ["--counterfactual", HOSTILE.replace("1", "2"), "--target", "<", "--against", '"', "--no-prove"]
    done = invoke("trace", HOSTILE, *asked, *QUICK, "--model", str(folder), "--out", "report.html")
    assert done.code == 0, done.err
    assert not {"\x1b", "\u202e"} & set(done.out)
    page = Path("report.html").read_text(encoding="utf-8")
    assert not {"\x1b", "\u202e"} & set(page)
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 2


@pytest.mark.parametrize(
    "work",
    [
        ["trace", CLEAN, *ASKED, "--out", "out/report.html", "--json"],
        ["prove", "graph.json", "--out", "out/proof.json"],
    ],
    ids=["trace", "prove"],
)
def test_an_interruption_amid_the_work_leaves_nothing_behind(folder, traced, kept, work):
    code, said, out = interrupted([*work, "--model", str(folder), "--sizes", "5,10", "--draws", MANY], kept)
    assert (code, out) == (130, ""), said
    assert said.rstrip().endswith("interrupted; nothing half-written")
    assert "Traceback" not in said
    assert list(Path().iterdir()) == [traced]


def test_a_proof_that_cannot_be_had_says_why_and_leaves_all_that_was_traced(invoke, folder):
    turned = ["--counterfactual", OTHER, "--target", "a", "--against", "p"]
    files = ["--graph", "graph.json", "--out", "report.html"]
    done = invoke("trace", CLEAN, *turned, *QUICK, "--model", str(folder), *files, "--json")
    assert done.code == 2
    assert json.loads(done.out) == {**json.loads(Path("graph.json").read_text()), "proof": None}
    assert "Not tested." in Path("report.html").read_text(encoding="utf-8")
    assert "prove that 'a' over 'p' comes from the units of 'the cat'\n  found: a target that " in done.err


def test_a_trace_without_a_counterfactual_is_proved_where_that_is_asked(invoke, folder):
    asked = ["--target", "p", "--against", "a", *QUICK, "--model", str(folder), "--json"]
    silent, done = invoke("trace", CLEAN, *asked), invoke("trace", CLEAN, *asked, "--prove", "--graph", "graph.json")
    assert json.loads(silent.out)["proof"] is None
    assert done.code == 0, done.err
    again = invoke("prove", "graph.json", *QUICK[2:], "--model", str(folder), "--json")
    assert json.loads(done.out)["proof"]["faithfulness"] == json.loads(again.out)["faithfulness"]


def test_a_graph_has_no_number_of_prompts(invoke, folder, traced):
    done = invoke("prove", str(traced), "--n", "7", "--model", str(folder))
    assert done.code == 2
    assert done.err.startswith("prove the graph graph.json\n  found: --n 7, where there is one prompt")


def interrupted(arguments: list[str], cache: Path) -> tuple[int, str, str]:
    """Runs a command at a terminal until it shows the progress of its proof, then presses Ctrl-C.

    Returns:
        Its exit code, what the terminal was sent, and standard output.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "MICROTOME_CACHE": str(cache), "TERM": "xterm"}
    said, pressed = "", False
    with (
        tempfile.TemporaryFile("w+") as written,  # and no pipe, which would fill up and hold a command that ends
        subprocess.Popen([COMMAND, *arguments], stdout=written, stderr=theirs, text=True, env=environment) as process,
    ):
        os.close(theirs)
        while chunk := sent_to(ours):
            said += chunk
            if "testing sets" in said and not pressed:
                process.send_signal(signal.SIGINT)
                pressed = True
        process.wait()
        written.seek(0)
        out = written.read()
    os.close(ours)
    return process.returncode, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said), out


def test_harvest_fills_a_store_and_goes_on_with_it(invoke, folder):
    Path("texts.jsonl").write_text("".join(json.dumps({"text": f"the cat {i} sat on a mat"}) + "\n" for i in range(30)))
    asked = ["harvest", "texts.jsonl", "--site", "resid.1", "--site", "mlp.out.*", "--model", str(folder), "--out", "s"]
    words = invoke(*asked, "--tokens", "50")
    assert words.code == 0, words.err
    assert words.out.startswith("s: 50 tokens, ")
    done = invoke(*asked, "--tokens", "80", "--json")
    found = json.loads(done.out)
    assert (found["tokens"], found["sites"]) == (80, {"mlp.out.0": 64, "resid.1": 64, "mlp.out.1": 64})
    assert found["texts"]["name"] == "texts.jsonl"
    assert "s: 80 tokens" in done.err
    other = invoke(*asked, "--dtype", "int8")
    assert other.code == 2
    assert "dtype 'bfloat16' there, 'int8' asked" in other.err


def test_inspect_reads_every_byte_of_a_store(invoke, folder):
    Path("texts.txt").write_text("the cat sat on a mat\n" * 20)
    assert invoke("harvest", "texts.txt", "--site", "resid.1", "--model", str(folder), "--out", "s").code == 0
    done = invoke("inspect", "s")
    assert done.code == 0, done.err
    assert done.out.endswith("every byte is as it was written\n")
    assert json.loads(invoke("inspect", "s", "--json").out)["sites"] == {"resid.1": 64}
    (shard,) = Path("s").glob("*.safetensors")
    raw = bytearray(shard.read_bytes())
    raw[-100] ^= 1
    shard.write_bytes(raw)
    done = invoke("inspect", "s")
    assert (done.code, done.out) == (4, "")
    assert str(shard) in done.err


def test_a_trace_in_units_of_the_shipped_transcoders(invoke):
    ball, boat = "Tom has a red ball. Tom likes his", "Tom has a red boat. Tom likes his"
    asked = ["trace", ball, "--counterfactual", boat, "--model", "tiny", "--basis", "tiny/transcoders"]
    done = invoke(*asked, "--nodes", "50", "--sizes", "5,10", "--draws", "2", "--graph", "g.json", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["basis"] == "tiny/transcoders"
    assert {node["kind"] for node in found["nodes"]} >= {"embedding", "unit", "error", "logit"}
    assert found["proof"]["card"]["config"]["basis"] == "tiny/transcoders"
    again = invoke("prove", "g.json", "--model", "tiny", "--sizes", "5,10", "--draws", "2", "--json")
    assert json.loads(again.out)["faithfulness"] == found["proof"]["faithfulness"]


def test_an_sae_is_a_basis_and_what_is_none_is_said(invoke):
    done = invoke("trace", "Tom has", "--model", "tiny", "--basis", "tiny/sae", "--nodes", "20")
    assert done.code == 0
    assert "the model's own answers" in done.out
    refused = invoke("trace", "Tom has", "--model", "tiny", "--basis", "tiny/sea")
    assert (refused.code, refused.out) == (3, "")
    assert "tiny/sae" in refused.err
