"""Shrinkage: a penalty on activations makes them smaller than what would reconstruct best."""

from microtome.train.doctor.check import CHECKS, Check, Symptom
from microtome.train.doctor.patient import Patient

LEAST = 0.9


@CHECKS.register("shrinkage", summary="reconstructions are smaller than what they stand for")
class Shrinkage(Check):
    """Looks in the last two fifths of the run: before, reconstructions are still growing."""

    name = "shrinkage"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        scale = patient.reading.scale
        if patient.share <= 0.6 or not scale < LEAST:
            return None
        return Symptom(
            f"reconstructions have {scale:.2f} of the size that would fit best (Σ‖ŷ − ȳ‖² / Σ(ŷ − ȳ)·(y − ȳ)), at "
            f"variance explained {patient.reading.variance_explained:.3f}; a penalty on activations pulls them down, "
            "or training was too short",
            "lower the penalty, train for longer, or use an architecture without shrinkage: topk, batchtopk, jumprelu",
        )
