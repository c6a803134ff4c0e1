"""Corpora: whatever the files hold, documents are clean text, the same each time; faults name their place."""

import csv
import gzip
import io
import json
import os
import pkgutil
import subprocess

import numpy as np
import pytest

from microtome.core.errors import FormatError, NotFound, UnknownName, WrongUse
from microtome.data import corpora
from microtome.data.corpora import debian_docs, sae_probes
from microtome.data.corpus import CORPORA, corpus, corpus_of
from microtome.data.holding_out import is_held_out
from microtome.data.prose import prose
from microtome.data.sampled import sampled
from microtome.model.opening import open as open_model
from tiny_llama import tiny_folder
from unchecked import unchecked

HOSTILE = b"\xef\xbb\xbffirst \xff\xfe line\r\nsecond\0 line\n \n\n\n\xe2\x80\xa8 third\n\n\xed\xa0\x80 half\n"


def read(*arguments, **options) -> list[str]:
    return list(corpus(*arguments, **options).documents())


def test_every_file_of_the_folder_registers_a_corpus():
    modules = {f"{corpora.__name__}.{module.name}" for module in pkgutil.iter_modules(corpora.__path__)}
    assert {entry.home for entry in CORPORA} == modules
    assert all(entry.summary for entry in CORPORA)


@pytest.mark.parametrize(
    "documents, expected",
    [
        ("paragraph", ["first \ufffd\ufffd line\nsecond line", "\u2028 third", "\ufffd\ufffd\ufffd half"]),
        ("line", ["first \ufffd\ufffd line", "second line", "\u2028 third", "\ufffd\ufffd\ufffd half"]),
    ],
)
def test_hostile_bytes_become_clean_text(tmp_path, documents, expected):
    path = tmp_path / "a.txt"
    path.write_bytes(HOSTILE)
    assert read(path, documents=documents) == expected
    assert len(read(path, documents="file")) == 1


def test_half_surrogates_and_blank_texts(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [{"text": "\ud800a", "n": 1}, {"text": ""}, {"text": " \0\n"}, {"text": "b\u2028\0c"}]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    assert read(path) == ["\ufffda", "b\u2028c"]
    assert list(corpus_of(["x", "", "\udc00"]).documents()) == ["x", "\ufffd"]


@pytest.mark.parametrize(
    "line, found",
    [
        ('{"text": "cut', "no JSON"),
        ("[1]", "a JSON list, no object"),
        ('{"txet": "a"}', "no key 'text'; the closest are 'txet'"),
        ('{"text": 3}', "'text' is of type int"),
    ],
)
def test_a_fault_in_a_jsonl_names_its_line(tmp_path, line, found):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n' + line)
    with pytest.raises(FormatError) as error:
        read(path)
    assert error.value.what == f"read a text at {path}:2"
    assert error.value.found.startswith(found)


@pytest.fixture
def tables(tmp_path):
    """A folder as `datasets` saves it, with a split in Arrow and one in Parquet."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc, parquet

    schema = arrow.schema([("n", arrow.int64()), ("text", arrow.string())])

    def table(*texts):
        return arrow.table({"n": list(range(len(texts))), "text": texts}, schema=schema)

    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
    with ipc.new_stream(tmp_path / "set/train/data-00000-of-00001.arrow", schema) as out:
        out.write_table(table("one", None, "two"))
    with ipc.new_file(tmp_path / "set/train/cache-1.arrow", schema) as out:
        out.write_table(table("not data"))
    with ipc.new_file(tmp_path / "set/test/b.arrow", schema) as out:
        out.write_table(table("three"))
    parquet.write_table(table("four", ""), tmp_path / "set/test/a.parquet")
    return tmp_path / "set"


def test_tables_of_a_dataset_are_read(tables):
    assert read(tables) == ["four", "three", "one", "two"]
    assert read(tables, split="train") == ["one", "two"]
    assert read(tables / "test" / "a.parquet") == ["four"]


def test_faults_of_tables(tables):
    with pytest.raises(FormatError) as error:
        read(tables, field="texts")
    assert error.value.found == "no column 'texts'; the closest are 'text'"
    with pytest.raises(FormatError) as error:
        read(tables, field="n")
    assert error.value.found == "'n' is of type int64"
    with pytest.raises(NotFound):
        read(tables, split="dev")
    for path in tables.rglob("*"):
        if path.suffix in (".arrow", ".parquet"):
            path.write_bytes(path.read_bytes()[:50])
    for one in ("train", "test"):
        with pytest.raises(FormatError) as error:
            read(tables, split=one)
        assert error.value.do == "get the file again: it is not whole"


def test_what_is_not_there_or_not_known(tmp_path):
    with pytest.raises(NotFound) as error:
        corpus("sae-prodes")
    assert "'sae-probes'" in error.value.found
    with pytest.raises(UnknownName):
        corpus("python-sources", seed=3)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(WrongUse):
        corpus(tmp_path / "a.txt", documents="word")
    with unchecked(), pytest.raises(WrongUse):
        corpus_of(["a", 3])  # pyright: ignore[reportArgumentType]
    with pytest.raises(WrongUse):
        corpus("debian-docs", packages=("../etc",))


def test_fingerprints_tell_what_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\n\nb\n\nc")
    made = corpus(path)
    assert made.fingerprint == corpus(path).fingerprint
    others = [corpus(path, documents="line"), made.mixed(0), made.mixed(1), made.mixed(0, 2), made.first(2),
              *made.split(0.5)]  # fmt: skip
    path.write_text("a\n\nb\n\nd")
    others.append(corpus(path))
    assert len({one.fingerprint for one in (made, *others)}) == len(others) + 1
    assert corpus_of(("a", "b")).fingerprint == corpus_of(["a", "b"]).fingerprint != corpus_of(["b", "a"]).fingerprint
    assert corpus_of(word for word in ("a", "b")).fingerprint == corpus_of(["a", "b"]).fingerprint


@pytest.mark.parametrize("at_once", [None, 10])
def test_mixing_keeps_every_document_and_can_be_repeated(at_once):
    words = [str(i) for i in range(100)]
    mixed = corpus_of(words).mixed(3, at_once)
    found = list(mixed.documents())
    assert found == list(mixed.documents())
    assert sorted(found) == sorted(words)
    assert found != words
    assert found != list(corpus_of(words).mixed(4, at_once).documents())


def test_a_split_shares_no_document():
    words = [str(i) for i in range(1000)]
    train, test = (list(one.documents()) for one in corpus_of(words).split(0.2, seed=1))
    assert sorted(train + test) == sorted(words)
    assert 150 < len(test) < 250
    assert set(test) == {words[i] for i in np.flatnonzero(is_held_out(np.arange(1000), 0.2, 1))}
    other = list(corpus_of(words).split(0.2, seed=2)[1].documents())
    assert len(set(test) & set(other)) < 80
    with pytest.raises(WrongUse):
        corpus_of(words).split(1.5)


def test_python_sources_hold_the_library():
    texts = read("python-sources")
    assert any(text.startswith('"""An object-oriented interface to .netrc files."""') for text in texts)
    assert texts == read("python-sources")


def test_prose_of_a_page():
    page = (
        "<head><title>t</title></head><body><nav>menu</nav><div role='main'><h1>Title<a class='headerlink'>¶</a></h1>"
        "<p>One &amp; <b>two</b>\n three<script>x()</script></p><pre>a\n  b</pre><p>open<li>next</div>"
        "<footer>f</footer>"
    )
    assert prose(page) == "Title\nOne & two three\na\n  b\nopen\nnext"
    assert prose("<p>no main</p><nav>x</nav>") == "no main"
    assert prose("</div>< & <b") == "< & <b"


@pytest.fixture
def probes(tmp_path, monkeypatch):
    """An installed package with three small sets."""
    zstandard = pytest.importorskip("zstandard")
    info = tmp_path / "sae_probes-0.4.2.dist-info"
    info.mkdir()
    names = []
    for name, rows in {"1_a": ["x", "y"], "2_b": ["y", 'z "q",\nw'], "95_toxic_is": ["bad"]}.items():
        out = io.StringIO()
        csv.writer(out).writerows([["prompt", "target"], *([row, 1] for row in rows)])
        names.append(f"{sae_probes.FOLDER}{name}.csv.zst")
        path = tmp_path / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zstandard.compress(out.getvalue().encode()))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sae-probes\nVersion: 0.4.2\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    monkeypatch.syspath_prepend(str(tmp_path))


def test_probe_texts_come_once_and_hateful_sets_only_when_asked(probes):
    assert sorted(read("sae-probes")) == ["x", "y", 'z "q",\nw']
    assert sorted(read("sae-probes", sets=("*toxic*", "1_a"))) == ["bad", "x", "y"]
    with pytest.raises(UnknownName):
        corpus("sae-probes", sets=("3_c",))
    fetched = sae_probes.get()
    assert fetched.packages == ()
    assert "do not pass them on" in str(fetched)


def test_without_the_package_the_error_says_what_to_do(monkeypatch):
    pytest.importorskip("zstandard")
    monkeypatch.setattr(sae_probes.metadata, "distribution", _absent)
    with pytest.raises(NotFound) as error:
        corpus("sae-probes")
    assert error.value.do == "run `microtome get sae-probes` (45 MB)"


def _absent(name: str):
    raise sae_probes.metadata.PackageNotFoundError(name)


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """An `apt-get` and a `dpkg-deb` that bring one small manual, or say what the real ones say."""
    tools = tmp_path / "bin"
    tools.mkdir()
    files = tmp_path / "made" / "usr" / "share" / "doc" / "tiny-doc"
    (files / "html" / "_sources").mkdir(parents=True)
    (files / "html" / "a.html").write_text("<main><p>manual</p></main>")
    (files / "html" / "_sources" / "a.txt").write_text("source")
    (files / "copyright").write_text("free")
    (files / "NEWS.md.gz").write_bytes(gzip.compress(b"news"))
    for name, does in {
        "apt-get": f'echo $4 >> {tmp_path}/calls\n[ "$4" = tiny-doc ] && exec touch tiny-doc.deb\n'
        'echo "E: no package $4" >&2\nexit 100',
        "dpkg-deb": f'cp -r {tmp_path}/made "$3"',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_manuals_are_got_once_and_read(apt):
    assert sorted(read("debian-docs", packages=("tiny-doc",))) == ["manual", "news"]
    assert (apt / "cache/corpora/debian-1/tiny-doc/copyright").read_text() == "free"
    assert sorted(read("debian-docs", packages=("tiny-doc",))) == ["manual", "news"]
    assert len((apt / "calls").read_text().splitlines()) == 1
    with pytest.raises(NotFound) as error:
        corpus("debian-docs", packages=("no-such-doc",))
    assert "E: no package no-such-doc" in error.value.found
    assert not (apt / "cache/corpora/debian-1/no-such-doc").exists()


def test_without_apt_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path))
    monkeypatch.setattr(debian_docs.subprocess, "run", _no_program)
    with pytest.raises(NotFound) as error:
        corpus("debian-docs")
    assert error.value.found == "no apt-get on this machine"


def _no_program(*_, **__) -> subprocess.CompletedProcess[str]:
    raise FileNotFoundError


def test_texts_sampled_from_a_model(tmp_path):
    model = open_model(tiny_folder(tmp_path / "tiny"), certify=False)
    made = sampled(model, 3, seed=1, tokens=6)
    texts = list(made.documents())
    assert texts == list(sampled(model, 3, seed=1, tokens=6).documents())
    assert texts != list(sampled(model, 3, seed=2, tokens=6).documents())
    assert all(text.startswith("the") for text in sampled(model, 2, prompts=("the",), tokens=3).documents())
    assert model.fingerprint in made.card["source"]
    with pytest.raises(WrongUse):
        sampled(model, 0)
