"""TransformerLens, as PyPI has it, and microtome give every edge of the same network the same score."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from transformers import GPT2LMHeadModel

from microtome.circuit.patching.patching import patch
from microtome.circuit.patching.rows import Pair
from microtome.model.attention import register
from microtome.model.model import Model
from microtome.model.opening import anatomy_of

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".peers" / "transformer_lens" / "bin" / "python"

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]


def test_their_hooks_give_the_scores_of_eap(tmp_path):
    if not (PYTHON.parents[1] / ".installed").exists():
        pytest.skip("transformer_lens is not installed: `make test-peers` installs it")
    script = HERE / "peer_transformer_lens.py"
    done = subprocess.run([PYTHON, script, "make", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = np.load(tmp_path / "eap.npz")
    module = GPT2LMHeadModel.from_pretrained(tmp_path / "gpt2", attn_implementation=register()).eval()
    model = Model(module, None, anatomy_of(module), name="theirs", fingerprint="0" * 16)
    rows = zip(*(theirs[name].tolist() for name in ("clean", "other", "answers")), strict=True)
    pairs = [Pair(tuple(clean), tuple(other), (a,), (b,)) for clean, other, (a, b) in rows]
    ours = patch(model, pairs, "eap").edges
    expected = dict(zip(zip(theirs["sources"], theirs["readers"], strict=True), theirs["scores"], strict=True))
    assert ours.keys() == expected.keys()
    largest = max(map(abs, expected.values()))
    apart = max(abs(ours[edge] - expected[edge]) for edge in ours) / largest
    print(f"transformer_lens: {len(ours)} edges, the largest {largest:.2g}; apart by {apart:.0e} of it")
    assert largest > 0.1
    assert apart < 1e-3
