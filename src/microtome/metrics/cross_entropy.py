"""What splicing a reconstruction into the model costs its predictions."""

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.items import Items, doubled
from microtome.metrics.metric import metric
from microtome.metrics.ratio import ItemRatio


def _same_tokens(name: str, *losses: Tensor) -> list[Tensor]:
    shapes = [list(one.shape) for one in losses]
    if any(shape != shapes[0] or len(shape) != 1 for shape in shapes):
        raise WrongUse(
            f"add losses to {name}",
            found=f"losses of shapes {', '.join(map(str, shapes))}",
            do="give one loss for each token, [tokens], of the same tokens in all passes",
        )
    return [doubled(one) for one in losses]


class _Recovered(ItemRatio):
    """The common part: what is recovered of the loss that an ablation costs."""

    below = "a loss that the ablation adds, summed over tokens,"
    when_not_above_zero = "add tokens first; where ablating the site does no harm, there is nothing to recover"

    def add(
        self,
        original: Float[Tensor, " t"],
        reconstructed: Float[Tensor, " t"],
        ablated: Float[Tensor, " t"],
        items: Items = None,
    ) -> None:
        """Adds the cross-entropies of some tokens, each in three passes.

        Args:
            original: of the untouched model, [t], nats (or all three in another unit).
            reconstructed: with the reconstruction at the site, [t].
            ablated: with the site ablated, [t].
            items: the document of each token, [t], from 0 on; without it there are no intervals.

        Raises:
            WrongUse: losses of different shapes.
        """
        clean, spliced, worst = _same_tokens(self.name, original, reconstructed, ablated)
        self._sum(worst - spliced, worst - clean, items)


@metric(summary="share of the loss that zero ablation costs which the reconstruction gives back")
class CrossEntropyRecoveredZero(_Recovered):
    """Share of the cross-entropy that setting a site to zero costs, which the reconstruction gives back.

        recovered = Σ (H_zero − H_reconstructed) / Σ (H_zero − H_original)

    Sums run over the same tokens in all three passes: a ratio of sums, not a mean of ratios. Unit: none. Range:
    (−∞, ∞), in practice at most 1; 1 is what the site itself scores, exactly, 0 what zeros score. Higher is better.

    When it misleads:
        - It saturates. Zeros on a residual stream cost ten nats and more, so that 0.99 can hide a tenth of a nat:
          read `cross_entropy_added` beside it.
        - It is kinder than `cross_entropy_recovered_mean`, since the mean activation harms less than zeros.
        - Zeros at the first position can wreck attention by themselves. Ablate and splice at the same positions.
    """

    name, unit, better, best = "cross_entropy_recovered_zero", "1", "higher", 1.0


@metric(summary="share of the loss that mean ablation costs which the reconstruction gives back")
class CrossEntropyRecoveredMean(_Recovered):
    """Share of the cross-entropy that setting a site to its mean costs, which the reconstruction gives back.

        recovered = Σ (H_mean − H_reconstructed) / Σ (H_mean − H_original)

    The mean is that of the activations over other tokens, the same vector at every position. Range, unit, direction
    and warnings of `cross_entropy_recovered_zero`; stricter than it, because a decoder's bias alone scores about 0.
    """

    name, unit, better, best = "cross_entropy_recovered_mean", "1", "higher", 1.0


@metric(summary="loss that the reconstruction adds to the model's, in nats a token")
class CrossEntropyAdded(ItemRatio):
    """Cross-entropy that the reconstruction adds to the model's own.

        added = mean over tokens of H_reconstructed − H_original

    Unit: nats a token, where losses are given in nats. Range: (−∞, ∞), in practice above 0; 0 is what the site itself
    scores. Lower is better.

    When it misleads: it grows with what the site does for the prediction, so it compares dictionaries of one site
    of one model on the same tokens, and nothing else.
    """

    name, unit, better, best = "cross_entropy_added", "nats a token", "lower", 0.0

    def add(self, original: Float[Tensor, " t"], reconstructed: Float[Tensor, " t"], items: Items = None) -> None:
        """Adds the cross-entropies of some tokens, each in two passes; arguments as `cross_entropy_recovered_zero`.

        Raises:
            WrongUse: losses of different shapes.
        """
        clean, spliced = _same_tokens(self.name, original, reconstructed)
        self._sum(spliced - clean, torch.ones_like(clean), items)
