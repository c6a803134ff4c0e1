"""Every entry of this package passes the battery that `microtome check` puts other packages' entries through."""

import pytest

from microtome.bench.checks import architectures, bases, families, formats, methods, metrics, panels
from microtome.circuit.basis import BASES
from microtome.circuit.patching.method import METHODS
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.format import FORMATS
from microtome.metrics.metric import METRICS
from microtome.view.panel import PANELS

KINDS = (
    (architectures.BATTERY, ARCHITECTURES),
    (bases.BATTERY, BASES),
    (formats.BATTERY, FORMATS),
    (methods.BATTERY, METHODS),
    (metrics.BATTERY, METRICS),
    (panels.BATTERY, PANELS),
)
ENTRIES = [pytest.param(battery, entry, id=f"{battery.kind} {entry.name}") for battery, all_ in KINDS for entry in all_]


@pytest.mark.parametrize(("battery", "entry"), ENTRIES)
def test_an_entry_keeps_what_its_kind_promises(battery, entry):
    subject = battery.subject(entry)
    assert {check.name: why for check in battery.checks if (why := check.failure(subject))} == {}


def test_a_small_network_of_a_family_that_ships_passes():
    """All families, with odd sizes and settings, stand in `test_families.py`."""
    model = families.small_network("llama")
    assert {check.name: why for check in families.BATTERY.checks if (why := check.failure(model))} == {}
