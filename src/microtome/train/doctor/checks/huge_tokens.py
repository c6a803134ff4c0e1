"""Huge tokens: a few of enormous norm own the variance, and whatever is said of it is said of them."""

import torch

from microtome.train.doctor.check import CHECKS, Check, Symptom
from microtome.train.doctor.patient import Patient

TIMES, OWN = 10.0, 0.2


@CHECKS.register("huge_tokens", summary="a few tokens of enormous norm own the variance")
class HugeTokens(Check):
    """Looks at the first batch: first positions, and a few other tokens, have norms many times the median."""

    name = "huge_tokens"
    when = "start"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        descriptions = [text for site in patient.job.sites if (text := self._description(patient, site))]
        if not descriptions:
            return None
        return Symptom(
            f"{'; '.join(descriptions)}: variance explained will be a figure about these tokens, and after scaling to "
            "E‖x‖² = d the others are small",
            "leave them out (a store's below(10), or norm_limit when harvesting) and say so beside every figure",
        )

    def _description(self, patient: Patient, site: str) -> str:
        norms = torch.linalg.vector_norm(patient.raw(site).double(), dim=1)
        middle = norms.median()
        huge = norms > TIMES * middle
        own = float(norms[huge].square().sum() / norms.square().sum().clamp(min=1e-300))
        if own <= OWN:
            return ""
        return (
            f"{float(huge.double().mean()):.1%} of the tokens at {site} have norms over {TIMES:g} times the median, up "
            f"to {float(norms.max() / middle):.0f} times, and own {own:.1%} of Σ‖x‖²"
        )
