"""Spans that outlast the run: a warm-up that never ends, a window after which nothing is ever dead."""

from microtome.train.doctor.check import CHECKS, Check, Symptom
from microtome.train.doctor.patient import Patient


@CHECKS.register("spans", summary="a warm-up, ramp or window outlasts the run")
class Spans(Check):
    """Published numbers of steps and tokens are meant for runs of billions of tokens."""

    name = "spans"
    when = "start"

    def look(self, patient: Patient) -> Symptom | None:
        """See `Check.look`."""
        training = patient.job.training
        schedule = patient.schedule
        run = schedule.tokens
        said = [
            f"{name} = {span!r} ({schedule.of(span):,} tokens)"
            for name, span in {"ramp": training.ramp, "dead_after": training.dead_after}.items()
            if schedule.of(span) >= run and span.strip() != "100%"
        ]
        if schedule.of(training.warm_up) + schedule.of(training.decay) > run:
            said.append(
                f"warm_up = {training.warm_up!r} with decay = {training.decay!r} "
                f"({schedule.of(training.warm_up) + schedule.of(training.decay):,} tokens)"
            )
        said += [f"resample_at {span!r}" for span in training.resample_at if schedule.of(span) >= run]
        if not said:
            return None
        return Symptom(
            f"{'; '.join(said)} in a run of {run:,} tokens, {run // schedule.run.batch:,} steps: what has not ended by "
            "then never takes effect",
            "give them as shares of the run, such as '5%', or train for longer",
        )
