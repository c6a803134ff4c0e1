"""Losses or gradients that are not finite: one such step would make every weight not-a-number."""

from microtome.train.doctor.check import CHECKS, Curable, Symptom
from microtome.train.doctor.patient import Patient


@CHECKS.register("not_finite", summary="a loss or a gradient is infinite or not a number")
class NotFinite(Curable):
    """Nothing was learned from such steps, whatever is done about them: the weights are still good."""

    name = "not_finite"
    action = "stop"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        reading = patient.reading
        if not reading.skipped:
            return None
        blame = (
            f"in {reading.bad_inputs} of them the inputs were not finite already: the data are at fault"
            if reading.bad_inputs
            else f"their inputs were finite: the weights or the learning rate ({reading.rate:.3g}) are at fault"
        )
        return Symptom(
            f"{reading.skipped} steps since the last reading had a loss or a gradient that is not finite, and were "
            f"left out; {blame}",
            "harvest again what is not finite, in bfloat16 or float32" if reading.bad_inputs else
            "lower the learning rate, or scale inputs as the source does",
        )  # fmt: skip

    def cure(self, patient: Patient) -> str:
        """Goes on without them."""
        return f"{patient.reading.skipped} steps were left out; weights and optimiser are untouched by them"
