"""Dense units: what fires on most tokens means nothing in particular."""

from microtome.train.doctor.check import CHECKS, Check, Symptom
from microtome.train.doctor.patient import Patient
from microtome.train.tally import DENSE

MANY, ALWAYS = 0.1, 0.9


@CHECKS.register("dense_units", summary="many units fire on over a tenth of the tokens")
class DenseUnits(Check):
    """Looks in the second half of the run. What is dense by design, with k a tenth of its units, is told too."""

    name = "dense_units"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        reading, units = patient.reading, len(patient.trainee.since)
        if patient.share <= 0.5 or reading.dense <= MANY:
            return None
        return Symptom(
            f"{reading.dense:.1%} of {units:,} units fire on over {DENSE:.0%} of the tokens, the densest on "
            f"{reading.densest:.0%}, at L0 = {reading.l0:,.1f}; units that fire nearly always carry an average, and "
            "no feature",
            "raise the penalty or lower k, train more units, or leave out the tokens that all look alike",
        )
