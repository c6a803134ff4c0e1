"""Dictionaries on the disk in 16 bits: half as large, rounded once, and checked like all others."""

import pytest
import torch

from microtome.core.errors import FormatError, WrongUse
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.geometry import sae
from microtome.dictionary.saving import WEIGHTS, load, save
from microtome.dictionary.starting import untrained


def made(name="topk"):
    dictionary = untrained(sae("resid.0", 24, 32), ARCHITECTURES.get(name).tiny(), seed=0, length=0.7)
    torch.nn.init.normal_(dictionary.b_dec, generator=torch.Generator().manual_seed(1))
    return dictionary


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("entry", list(ARCHITECTURES), ids=lambda entry: entry.name)
def test_comes_back_rounded_and_no_further(entry, dtype, tmp_path):
    dictionary = made(entry.name)
    read = load(save(dictionary, tmp_path, dtype=dtype)).state_dict()
    for name, tensor in dictionary.state_dict().items():
        assert read[name].dtype == tensor.dtype
        expected = tensor.to(dtype).to(tensor.dtype) if tensor.is_floating_point() else tensor
        assert torch.equal(read[name], expected)
    again = load(save(load(tmp_path), tmp_path / "again", dtype=dtype)).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in read.items())


def test_is_half_as_large(tmp_path):
    whole, half = save(made(), tmp_path / "whole"), save(made(), tmp_path / "half", dtype=torch.float16)
    numbers = sum(one.numel() for one in made().state_dict().values())
    assert (whole / WEIGHTS).stat().st_size - (half / WEIGHTS).stat().st_size == pytest.approx(2 * numbers, abs=16)


def test_weights_that_were_changed_are_refused(tmp_path):
    for name, seed in (("one", 0), ("other", 1)):
        save(untrained(sae("resid.0", 24, 32), made().architecture, seed=seed), tmp_path / name, dtype=torch.float16)
    (tmp_path / "one" / WEIGHTS).write_bytes((tmp_path / "other" / WEIGHTS).read_bytes())
    with pytest.raises(FormatError, match="weights that are not those it was saved with"):
        load(tmp_path / "one")


def test_a_number_that_16_bits_do_not_have_is_refused(tmp_path):
    dictionary = made()
    with torch.no_grad():
        dictionary.b_dec[0, 0] = 1e5
    with pytest.raises(WrongUse) as error:
        save(dictionary, tmp_path, dtype=torch.float16)
    assert str(error.value) == (
        "save a dictionary in torch.float16\n"
        "  found: a number above 65,504, the largest that it has\n"
        "  do:    save it in bfloat16, or as it is"
    )
    assert float(load(save(dictionary, tmp_path, dtype=torch.bfloat16)).b_dec[0, 0].detach()) == pytest.approx(
        1e5, rel=0.01
    )
