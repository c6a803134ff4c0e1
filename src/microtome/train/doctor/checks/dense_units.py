"""Dense units: what fires on most tokens means nothing in particular."""

from microtome.train.doctor.check import CHECKS, Check, Symptom
from microtome.train.doctor.patient import Patient
from microtome.train.tally import DENSE

MOST = 0.5


@CHECKS.register("dense_units", summary="units that fire on over a tenth of the tokens do most of the work")
class DenseUnits(Check):
    """Looks in the second half of the run; before, units have not yet found what they stand for."""

    name = "dense_units"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        reading = patient.reading
        units = patient.trainee.n_units
        if patient.share <= 0.5 or not reading.crowded > MOST:
            return None
        return Symptom(
            f"{reading.dense:.1%} of {units:,} units fire on over {DENSE:.0%} of the tokens, the densest on "
            f"{reading.densest:.0%}, and take {reading.crowded:.0%} of L0 = {reading.l0:,.1f}; what fires so often "
            "carries an average, and no feature",
            "raise the penalty or lower k, train more units, or leave out the tokens that all look alike",
        )
