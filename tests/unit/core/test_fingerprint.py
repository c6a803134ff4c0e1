"""A fingerprint changes with anything that changes the thing, and with nothing else."""

import hashlib

import pytest
import torch
from torch import nn

from microtome.core import fingerprint

W = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "other",
    [
        [("v", W)],
        [("w", W.double())],
        [("w", W.reshape(3, 2))],
        [("w", W + 1e-6)],
        [("w", W), ("v", W)],
    ],
    ids=["name", "dtype", "shape", "value", "one-more"],
)
def test_tensors_that_differ_in_anything_differ(other):
    assert fingerprint.of_tensors(other) != fingerprint.of_tensors([("w", W)])


def test_the_layout_in_memory_is_no_difference():
    assert fingerprint.of_tensors([("w", W.T.contiguous().T)]) == fingerprint.of_tensors([("w", W)])


def test_dtypes_that_numpy_does_not_know_are_digested():
    assert fingerprint.of_tensors([("w", W.bfloat16())]) == fingerprint.of_tensors([("w", W.bfloat16().clone())])


def test_values_do_not_depend_on_the_order_of_keys():
    assert fingerprint.of_value({"a": 1, "b": [2]}) == fingerprint.of_value({"b": [2], "a": 1})
    assert fingerprint.of_value({"a": 1}) != fingerprint.of_value({"a": "1"})


def test_a_file_has_its_sha256(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "CHUNK", 7)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    assert fingerprint.of_file(path) == hashlib.sha256(bytes(range(256))).hexdigest()


def test_a_module_is_hashed_again_only_where_it_changed(monkeypatch):
    module = nn.Linear(3, 2)
    first = fingerprint.of_module(module)
    assert first == fingerprint.of_tensors(sorted(module.state_dict().items()))
    monkeypatch.setattr(fingerprint, "of_tensors", lambda named: "anew")
    assert fingerprint.of_module(module) == first
    with torch.no_grad():
        module.weight.mul_(2)
    assert fingerprint.of_module(module) == "anew"
