"""One class for every kind of entry: it never lets the later one win, and knows its nearest names."""

import sys
from importlib import import_module, invalidate_caches
from importlib.metadata import EntryPoint

import pytest

from microtome.core import registry as registry_module
from microtome.core.errors import UnknownName, WrongUse
from microtome.core.registry import Registry, import_siblings


@pytest.fixture
def registry():
    made = Registry("fruit")
    made.add("pear", 1, summary="green", home="orchard.pear")
    made.add("apple", 2, summary="red", home="orchard.apple")
    return made


def test_entries_come_in_the_order_of_their_names(registry):
    assert [(entry.name, entry.summary, entry.home, entry.value) for entry in registry] == [
        ("apple", "red", "orchard.apple", 2),
        ("pear", "green", "orchard.pear", 1),
    ]


def test_a_clash_names_both_homes_and_keeps_the_first(registry):
    with pytest.raises(WrongUse) as raised:
        registry.add("pear", 3, summary="blue", home="elsewhere")
    assert str(raised.value) == (
        "register the fruit 'pear'\n"
        "  found: two entries want that name: orchard.pear and elsewhere\n"
        "  do:    rename one of them"
    )
    assert registry.get("pear") == 1


def test_a_misspelt_name_is_told_the_nearest(registry):
    with pytest.raises(UnknownName) as raised:
        registry.get("aple")
    assert str(raised.value) == (
        "no fruit is called 'aple'\n"
        "  found: 'aple'; the closest are 'apple', 'pear'\n"
        "  do:    choose one that `microtome list fruit` shows"
    )


def test_a_far_name_is_told_all(registry):
    with pytest.raises(UnknownName, match="there are 'apple', 'pear'"):
        registry.get("xylophone")


def test_the_decorator_returns_what_it_was_given(registry):
    @registry.register("plum", summary="blue")
    def plum():
        return 3

    assert registry.get("plum") is plum
    assert next(entry for entry in registry if entry.name == "plum").home == __name__


def points_to(monkeypatch, *points):
    asked = []

    def entry_points(*, group):
        asked.append(group)
        return points

    monkeypatch.setattr(registry_module, "entry_points", entry_points)
    return asked


def test_other_packages_come_by_entry_point_and_are_asked_once(registry, monkeypatch, tmp_path):
    (tmp_path / "foreign_fruit.py").write_text("loaded = 'yes'\n")
    monkeypatch.syspath_prepend(tmp_path)
    asked = points_to(monkeypatch, EntryPoint("kiwi", "foreign_fruit", "microtome.fruit"))
    assert "pear" in registry
    assert "kiwi" not in registry
    assert asked == ["microtome.fruit"]
    assert sys.modules.pop("foreign_fruit").loaded == "yes"


def test_a_broken_package_is_raised_and_not_skipped(registry, monkeypatch, tmp_path):
    (tmp_path / "broken_fruit.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    points_to(monkeypatch, EntryPoint("durian", "broken_fruit", "microtome.fruit"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(registry)


def test_a_package_may_build_on_an_entry_that_is_there(registry, monkeypatch, tmp_path):
    (tmp_path / "grafted_fruit.py").write_text("import sys\nvalue = sys.orchard.get('pear') + 10\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "orchard", registry, raising=False)
    points_to(monkeypatch, EntryPoint("quince", "grafted_fruit:value", "microtome.fruit"))
    assert registry.get("apple") == 2
    assert sys.modules.pop("grafted_fruit").value == 11


def test_siblings_are_imported_in_the_order_of_their_names(monkeypatch, tmp_path):
    folder = tmp_path / "orchard_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("order = []\n")
    for name in ("b", "a"):
        (folder / f"{name}.py").write_text(f"from orchard_of_tests import order\norder.append({name!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_siblings("orchard_of_tests", [str(folder)])
    assert sys.modules["orchard_of_tests"].order == ["a", "b"]


@pytest.fixture
def orchard(tmp_path, monkeypatch):
    """A package of its own whose one module registers a fruit, and its registry."""
    package = tmp_path / "an_orchard"
    package.mkdir()
    (package / "__init__.py").write_text(
        'from microtome.core.registry import Registry\nFRUIT = Registry("fruit", folder="an_orchard")\n'
    )
    (package / "plum.py").write_text(
        'from an_orchard import FRUIT\nFRUIT.add("plum", len(list(FRUIT)), summary="blue", home=__name__)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith("an_orchard")]:
        del sys.modules[name]


def test_a_folder_is_read_when_it_is_first_asked_for(orchard):
    made = import_module("an_orchard").FRUIT
    assert "an_orchard.plum" not in sys.modules
    assert "plum" in made
    assert "an_orchard.plum" in sys.modules
    assert made.get("plum") == 0  # an entry may ask the registry that it is read for


def test_an_entry_that_fails_is_raised_each_time_it_is_asked_for(orchard):
    (orchard / "quince.py").write_text("raise RuntimeError('rotten')")
    made = import_module("an_orchard").FRUIT
    for _ in range(2):
        with pytest.raises(RuntimeError, match="rotten"):
            made.get("plum")
    (orchard / "quince.py").write_text("")
    invalidate_caches()
    assert "plum" in made
