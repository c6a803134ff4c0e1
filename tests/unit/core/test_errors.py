"""Errors have three parts, and every exit code is one that DESIGN's table of the command line knows."""

import inspect
import pickle

import pytest

from microtome.core import errors
from microtome.core.errors import MicrotomeError, MissingPackage, UnknownName, nearest
from microtome.core.need import need

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, MicrotomeError)]


def test_the_three_parts_stand_on_three_lines():
    error = MicrotomeError("open 'x'", found="nothing", do="look elsewhere")
    assert str(error) == "open 'x'\n  found: nothing\n  do:    look elsewhere"
    assert (error.what, error.found, error.do) == ("open 'x'", "nothing", "look elsewhere")


@pytest.mark.parametrize("missing", ["found", "do"])
def test_no_part_can_be_left_out(missing):
    parts = {"found": "nothing", "do": "look elsewhere"}
    del parts[missing]
    with pytest.raises(TypeError, match=missing):
        MicrotomeError("open 'x'", **parts)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_a_known_exit_code_and_says_when_it_is_raised(kind):
    assert kind.exit_code in {1, 2, 3, 4}
    assert kind.__doc__


def test_what_was_not_found_leaves_with_three_and_failed_checks_with_four():
    assert {kind.__name__ for kind in CLASSES if issubclass(kind, errors.NotFound)} <= {
        kind.__name__ for kind in CLASSES if kind.exit_code == 3
    }
    assert (errors.WrongUse.exit_code, errors.CheckFailed.exit_code, errors.FormatError.exit_code) == (2, 4, 4)


def test_the_nearest_names_come_first_and_at_most_three():
    known = ["resid.1", "resid.2", "resid.3", "resid.4", "logits"]
    assert nearest("resid.9", known).count("resid.") == 4  # the name itself and three
    assert nearest("q", []) == "'q'; there are none"
    assert nearest("zzz", [f"name{i:02d}" for i in range(14)]).endswith("'name11', …")


def test_an_unknown_name_is_not_found():
    error = UnknownName("task", "ioy", ["ioi", "capitals"], do="choose")
    assert isinstance(error, errors.NotFound)
    assert "the closest are 'ioi'" in error.found


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingPackage) as raised:
        need("no_such_package_anywhere", extra="tables")
    assert str(raised.value) == (
        "use the optional package 'no_such_package_anywhere'\n"
        "  found: it is not installed (No module named 'no_such_package_anywhere')\n"
        "  do:    run `pip install 'microtome[tables]'`"
    )


def test_a_package_that_is_there_is_given():
    assert need("pickle", extra="tables") is pickle
