"""Too good to be true: so much variance explained that nothing sparse had to be learned for it."""

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.train.doctor.check import CHECKS, Check, Symptom
from microtome.train.doctor.patient import Patient

HIGH, NEAR, ROWS = 0.9, 0.02, 4096


@CHECKS.register("too_good", summary="principal components, as many as units are active, explain as much")
class TooGood(Check):
    """Compares with as many principal components as units are active on a token.

    They explain everything where there are as many of them as dimensions, and much where the data have few.
    """

    name = "too_good"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        reading = patient.reading
        if not reading.variance_explained > HIGH:
            return None
        y = torch.cat([patient.raw(site)[:ROWS] * patient.trainee.scales[site] for site in patient.job.writes], 1)
        n = max(round(reading.l0), 1)
        components = explained_by_components(y, n)
        if components < reading.variance_explained - NEAR:
            return None
        why = (
            f"as many units are active as there are dimensions ({y.shape[1]:,})" if n >= y.shape[1] else
            f"the data lie near {n:,} of {y.shape[1]:,} dimensions"
        )  # fmt: skip
        return Symptom(
            f"variance explained {reading.variance_explained:.3f} at L0 = {reading.l0:,.1f}, where {n:,} principal "
            f"components explain {components:.3f}: {why}, so that the figure says nothing of features",
            "lower k or raise the penalty; look whether the rows repeat, or come from a few tokens only",
        )


def explained_by_components(y: Float[Tensor, "t d"], n: int) -> float:
    """Share of the variance of rows in their n first principal components, at most all of it."""
    centred = (y - y.mean(0)).double()
    gram = centred.T @ centred if y.shape[1] <= y.shape[0] else centred @ centred.T
    found = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0)
    return float(found[:n].sum() / found.sum().clamp(min=1e-300))
