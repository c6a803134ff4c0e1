"""Wrong normalisation: penalties, thresholds and the learning rate are meant for inputs of E‖x‖² = d."""

import math

from microtome.train.doctor.check import CHECKS, Curable, Symptom
from microtome.train.doctor.patient import Patient

TIMES = 2.0


@CHECKS.register("normalisation", summary="inputs are far from E‖x‖² = d once scaled")
class Normalisation(Curable):
    """Compares what the source says of its rows with its first batch."""

    name = "normalisation"
    when = "start"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        off = {site: ratio for site, ratio in self._ratios(patient).items() if not 1 / TIMES <= ratio <= TIMES}
        if not off:
            return None
        said = ", ".join(f"{ratio:.3g} at {site}" for site, ratio in off.items())
        return Symptom(
            f"E‖x‖² / d of the first batch, scaled by what the source says of itself, is {said}, and should be 1; "
            "penalties, thresholds and the learning rate are meant for that scale",
            "estimate mean_squared_norms on the rows that are trained on, or doctor={'normalisation': 'repair'}",
        )

    def cure(self, patient: Patient) -> str:
        """Scales by the first batch in place of what the source says."""
        trainee = patient.trainee
        for site, ratio in self._ratios(patient).items():
            trainee.scales[site] /= math.sqrt(ratio) if 0 < ratio < math.inf else 1.0
        trainee.begin(patient.rows)
        return "inputs are scaled by the mean squared norms of the first batch"

    def _ratios(self, patient: Patient) -> dict[str, float]:
        found = {}
        for site in patient.job.sites:
            x = patient.raw(site)
            found[site] = float(x.double().square().mean()) * patient.trainee.scales[site] ** 2
        return found
