"""The doctor: watches a run for illnesses, says what and why, and stops, repairs or warns."""

from microtome.train.doctor import checks as checks  # so that every one registers itself
