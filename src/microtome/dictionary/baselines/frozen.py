"""A frozen random decoder: training may choose which units are active and how much, not what they say.

What it reaches, a trained dictionary reaches without having learned any direction. Korznikov et al. 2026,
arXiv:2602.14111, "Frozen Decoder".
"""

from microtome.core.errors import WrongUse
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.baseline import BASELINES, Wanted
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.starting import untrained


@BASELINES.register("frozen-decoder", summary="random write vectors that training leaves; to be trained")
def frozen(wanted: Wanted) -> Dictionary:
    """A starting dictionary like any other, but for `Conventions.fixed_writes`; any geometry.

    Its architecture is the one given, or TopK with the `k` given.

    Raises:
        WrongUse: neither is given.
    """
    architecture = wanted.architecture
    if architecture is None:
        if wanted.k is None:
            raise WrongUse(
                "make the baseline 'frozen-decoder'", found="no sparsity to train it at", do="give architecture= or k="
            )
        architecture = TopK(wanted.k)
    conventions = Conventions(centred=wanted.geometry.autoencodes, fixed_writes=True)
    return untrained(wanted.geometry, architecture, conventions, seed=wanted.seed)
