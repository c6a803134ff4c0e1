"""Recipes run: in their quick form, which trains for seconds and says nothing, and again from what that left."""

import subprocess
import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"
PICTURES = ("one-layer-loss.png", "one-layer-contexts.png", "one-layer-activations.png")


def test_the_one_layer_study_runs_and_goes_on_from_what_it_left(tmp_path):
    command = [sys.executable, RECIPES / "one_layer_study.py", "--quick", "--out", tmp_path / "out", "--docs", tmp_path]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    page = (tmp_path / "one-layer-study.md").read_text(encoding="utf-8")
    assert "shuffled labels" in page
    assert "raw neurons" in page
    assert all((tmp_path / "pictures" / name).stat().st_size > 1000 for name in PICTURES)
    fitted = (tmp_path / "out" / "model" / "model.safetensors").stat().st_mtime_ns
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "model" / "model.safetensors").stat().st_mtime_ns == fitted
    figures = [line for line in first.stdout.splitlines() if line.startswith("F1")]
    assert len(figures) == 2
    assert [line for line in again.stdout.splitlines() if line.startswith("F1")] == figures
