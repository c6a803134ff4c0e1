"""Dead units that are revived: the same by sparse products, where few of them are active, and by dense ones."""

import pytest
import torch

from microtome.dictionary import choosing, sparse
from microtome.dictionary.architecture import Moment
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.geometry import sae
from microtome.dictionary.starting import untrained

D, UNITS, AUX_K = 16, 512, 6


def learned(n_dead: int) -> tuple[float, dict[str, torch.Tensor]]:
    """The term, and the gradients of a step."""
    dictionary = untrained(sae("resid.0", D, UNITS), TopK(k=4, aux_k=AUX_K), seed=0)
    x = torch.randn(64, 1, D, generator=torch.Generator().manual_seed(1))
    outcome = dictionary.architecture.outcome(dictionary, x, x, Moment(1.0, (torch.arange(UNITS) < n_dead,)))
    outcome.loss.backward()
    return float(outcome.terms["aux"].detach()), {
        name: p.grad for name, p in dictionary.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("n_dead", [1, 5, 50, 300])
def test_sparse_and_dense_products_say_the_same(n_dead, monkeypatch):
    found = {}
    for way, share in (("sparse", 1.0), ("dense", -1.0)):
        for module in (choosing, sparse):
            monkeypatch.setattr(module, "DENSE", share)
        found[way] = learned(n_dead)
    (term, gradients), (other, others) = found.values()
    assert term == pytest.approx(other, rel=1e-5)
    for name, one in gradients.items():
        torch.testing.assert_close(one, others[name], rtol=1e-4, atol=1e-5)
