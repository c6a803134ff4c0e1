"""Every architecture on every geometry: gradients of the sparse step are held to a dense loss.

It is written without any of the sparse products, and differentiated by autograd. What else an architecture promises,
other packages' too, is the battery of `bench/checks/architectures.py`, which `test_batteries.py` runs.
"""

import pytest
import torch
from dense_reference import dense_outcome

from microtome.bench.checks.architectures import GEOMETRIES, batch, example, moment
from microtome.dictionary.architecture import ARCHITECTURES


@pytest.fixture(params=[entry.name for entry in ARCHITECTURES])
def architecture(request):
    return ARCHITECTURES.get(request.param).tiny()


@pytest.fixture(params=GEOMETRIES)
def dictionary(request, architecture):
    return example(architecture, request.param)


def test_gradients_are_those_of_the_dense_loss(dictionary):
    x, y = batch(dictionary)
    ours = dictionary.architecture.outcome(dictionary, x, y, moment(dictionary))
    ours.loss.backward()
    found = {name: p.grad for name, p in dictionary.named_parameters() if p.requires_grad}
    dictionary.zero_grad()
    terms, y_hat = dense_outcome(dictionary, x, y, moment(dictionary))
    sum(terms.values()).backward()
    assert terms.keys() == ours.terms.keys()
    for name, term in terms.items():
        torch.testing.assert_close(ours.terms[name], term, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.y_hat, y_hat, rtol=1e-10, atol=1e-12)
    for name, p in dictionary.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            assert found[name] is not None, name
            scale = p.grad.abs().max()
            assert scale > 0, f"{name} does not matter"
            assert (found[name] - p.grad).abs().max() <= 1e-9 * scale, name
