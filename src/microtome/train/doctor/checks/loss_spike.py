"""Loss spikes: a step that was too long threw away what was learned."""

from statistics import median

from microtome.train.doctor.check import CHECKS, Curable, Symptom
from microtome.train.doctor.patient import Patient

BEFORE, TIMES = 3, 3.0


@CHECKS.register("loss_spike", summary="the squared error is several times what it was")
class LossSpike(Curable):
    """Compares the squared error, which no ramp of penalties touches, with the median of the readings before."""

    name = "loss_spike"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        errors = [one.terms["reconstruction"] for one in patient.readings if one.terms]
        if len(errors) <= BEFORE or not patient.reading.terms:
            return None
        usual = median(errors[-1 - 2 * BEFORE : -1])
        now = errors[-1]
        if now <= TIMES * usual:
            return None
        return Symptom(
            f"a squared error of {now:.4g} a token, {now / usual:.1f} times the {usual:.4g} before, at learning rate "
            f"{patient.reading.rate:.3g}, with gradients of mean length {patient.reading.gradient:.3g}; its worst step "
            f"had {patient.reading.worst:.1f} times the median step's error",
            "lower the learning rate, set clip=1.0, warm up for longer, or look for huge tokens in the data",
        )

    def cure(self, patient: Patient) -> str:
        """Halves the learning rate for the rest of the run."""
        patient.trainee.slowed /= 2
        return f"the learning rate is {patient.trainee.slowed:g} of its schedule from here on"
