"""What the cache holds is shown with its size; clearing it leaves what nobody makes again."""

import pytest

from microtome.core.errors import WrongUse
from microtome.model.sources.cache_contents import clear, contents


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = tmp_path / "cache"
    for name, size in {"models/a/x": 2_000_000, "opened/b/y": 10, "opened/b/z": 20, "dictionaries/c/d/w": 5}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"0" * size)
    monkeypatch.setenv("MICROTOME_CACHE", str(root))
    return root


def test_each_part_has_its_size(root):
    found = contents()
    assert {part.name: (part.files, part.size) for part in found.parts} == {
        "dictionaries": (1, 5),
        "models": (1, 2_000_000),
        "opened": (2, 30),
    }
    assert str(found).splitlines()[0] == f"{root}: 2.0 MB"
    assert "dictionaries kept by name, which somebody trained; never cleared" in str(found)


def test_clearing_leaves_the_dictionaries(root):
    assert {part.name for part in clear().parts} == {"models", "opened"}
    assert [path.name for path in root.iterdir()] == ["dictionaries"]
    assert (root / "dictionaries/c/d/w").read_bytes() == b"0" * 5
    assert clear().parts == ()


def test_what_is_not_ours_stays(root):
    (root / "photographs").mkdir()
    clear()
    assert (root / "photographs").is_dir()


def test_without_a_cache_there_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "none"))
    assert contents().size == 0
    assert clear().parts == ()


def test_a_cache_that_cannot_be_written_to_is_said(root, monkeypatch):
    def refuses(*_: object, **__: object) -> str:
        raise PermissionError("not yours")

    monkeypatch.setattr("tempfile.mkdtemp", refuses)
    with pytest.raises(WrongUse) as refused:
        clear()
    assert str(refused.value) == (
        f"clear the cache {root}\n  found: not yours\n  do:    close what uses it, or remove the folder by hand"
    )
