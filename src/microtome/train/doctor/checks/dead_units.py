"""Dead units: they take memory and explain nothing."""

from microtome.train.doctor.check import CHECKS, Curable, Symptom
from microtome.train.doctor.patient import Patient
from microtome.train.resampling import resample

MANY = 0.1


@CHECKS.register("dead_units", summary="many units have not fired within the window")
class DeadUnits(Curable):
    """Looks once the window has passed since the first quarter of the run."""

    name = "dead_units"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        window, run = patient.schedule.dead_after, patient.schedule.tokens
        if patient.reading.dead <= MANY or patient.at <= window + run / 4:
            return None
        units = patient.trainee.n_units
        return Symptom(
            f"{patient.reading.dead:.1%} of {units:,} units have not fired for {window:,} tokens; more than {MANY:.0%} "
            "means that memory and time go into units that explain nothing",
            "lower the penalty or raise aux_k, resample (resample_at, or doctor={'dead_units': 'repair'}), lower the "
            "learning rate, or train fewer units",
        )

    def cure(self, patient: Patient) -> str:
        """Begins them anew."""
        n = resample(patient.trainee, patient.fresh(), patient.at)
        return f"{n:,} dead units begin anew from inputs that are reconstructed badly"
