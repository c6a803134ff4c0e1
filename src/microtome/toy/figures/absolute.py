"""Absolute values in superposition: hidden units that serve one feature, then several, the sparser features are."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.absolute import Absolutes, absolutes
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import features
from microtome.toy.superposition.learning import ToyConfig

SEVERAL = 1.5  # features per unit from which a unit counts as polysemantic
USED = 0.1  # of the strongest unit: what a weaker one does counts for nothing
LOPSIDED = 1.5  # times: how much more of one feature is read, and of the other written


@dataclass(frozen=True)
class Settings(Config):
    """Feature i has importance 0.8^i; beside it, three features with two hidden units each."""

    features: int = 40
    hidden: int = 16
    probabilities: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
    steps: int = 6_000
    copies: int = 4


@dataclass(frozen=True, eq=False)
class Data:
    """What was trained.

    Attributes:
        exact: three features with six units, the best, and its loss.
        probabilities: of a feature, in the rest.
        networks: the best at each.
        polysemantic: share of the units in use, at each.
    """

    exact: Absolutes
    exact_loss: float
    probabilities: tuple[float, ...]
    networks: Absolutes
    polysemantic: tuple[float, ...]


def run(settings: Settings) -> Found:
    """Trains both."""
    exact, (loss,) = best(replace(settings, features=3, hidden=6, probabilities=(0.5,), copies=16), importance=1.0)
    networks, _ = best(settings, importance=0.8)
    several, used = networks.features_per_unit > SEVERAL, in_use(networks)
    share = tuple(((several & used).sum(1) / used.sum(1).clamp_min(1)).tolist())
    data = Data(exact, loss, settings.probabilities, networks, share)
    return Found(data, rows(data))


def best(settings: Settings, importance: float) -> tuple[Absolutes, list[float]]:
    """The best copy at each probability, and its loss on new inputs."""
    of = features(settings.features, list(settings.probabilities), importance, copies=settings.copies)
    of = replace(of, signed=True)
    made = absolutes(of, ToyConfig(hidden=settings.hidden, steps=settings.steps, lr=3e-3, decay="cosine"))
    random = torch.Generator().manual_seed(1)
    losses = torch.stack([made.loss(of.sample(4096, random), of.importance) for _ in range(32)]).mean(0)
    which = best_of(losses, settings.copies)
    return Absolutes(made.first[which], made.second[which], made.bias[which]), losses[which].tolist()


def in_use(networks: Absolutes) -> Bool[Tensor, "i u"]:
    """Which units do something, beside the strongest."""
    does = networks.through.sum(2)
    return does > USED * does.amax(1, keepdim=True)


def rows(data: Data) -> tuple[Row, ...]:
    """Exact with two units a feature; shared with fewer, and lopsidedly."""
    pairs = signs(data.exact)
    told = ", ".join(f"{s:.0%} at {p:g}" for s, p in zip(data.polysemantic, data.probabilities, strict=True))
    share, count = lopsided(data.networks)
    return (
        Row("three features, six hidden units", "each feature has a unit for either sign: |x| = ReLU(x) + ReLU(−x)",
            f"loss {data.exact_loss:.1e}; {pairs} of 3 features have exactly one unit for each sign",
            pairs == 3 and data.exact_loss < 1e-5),
        Row("fewer units than that, by sparsity", "units serve one feature each where features are dense, several "
            "where they are sparse", f"units in use that serve several: {told}",
            data.polysemantic[0] < 0.2 and max(data.polysemantic) > 0.5),
        Row("how two features share a unit", "lopsidedly: one is read much and written little, the other the reverse",
            f"so are {share:.0%} of {count} units that serve several", count >= 5 and share > 0.5),
    )  # fmt: skip


def signs(network: Absolutes) -> int:
    """How many features have one unit for each sign, which serves no other feature."""
    alone = (network.features_per_unit[0] < 1 + 0.1) & in_use(network)[0]
    of, reads = network.through[0].argmax(1), network.first[0]
    good = 0
    for feature in range(reads.shape[0]):
        own = reads[feature][alone & (of == feature)].sign().tolist()
        good += sorted(own) == [-1.0, 1.0]
    return good


def lopsided(networks: Absolutes) -> tuple[float, int]:
    """The share, and the number, of polysemantic units whose two strongest features are shared unevenly."""
    several = (networks.features_per_unit > SEVERAL) & in_use(networks)
    first, second, through = (
        one[several] for one in (networks.first.mT.abs(), networks.second.abs(), networks.through)
    )  # fmt: skip
    if not len(through):
        return 0.0, 0
    two = through.topk(2, dim=1).indices
    read: Float[Tensor, "u 2"] = first.gather(1, two)
    written: Float[Tensor, "u 2"] = second.gather(1, two)
    more, less = read[:, 0] / read[:, 1], written[:, 1] / written[:, 0]
    uneven = ((more > LOPSIDED) & (less > LOPSIDED)) | ((more < 1 / LOPSIDED) & (less < 1 / LOPSIDED))
    return float(uneven.float().mean()), len(uneven)


FIGURES.add(
    "absolute",
    Figure("Absolute values computed in superposition", "Elhage et al. 2022, section 9", run, Settings(),
           Settings(features=100, hidden=40, steps=15_000)),
    summary="hidden units that compute |x| of one feature, or of several that are sparse enough",
    home=__name__,
)  # fmt: skip
