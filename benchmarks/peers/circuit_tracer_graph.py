"""circuit-tracer's graph of one prompt with transcoders from a file. Runs in the peer's environment.

The setup is JSON in the first argument; the answer is a line of JSON, and the graph goes to a file of tensors.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import torch  # noqa: E402
from circuit_tracer import ReplacementModel, attribute  # noqa: E402
from circuit_tracer.transcoder.activation_functions import TopK  # noqa: E402
from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent))
from memory import PeakAbove, touched  # noqa: E402


def transcoders(file: str, k: int) -> TranscoderSet:
    """One a layer, without biases."""
    weights, made = load_file(file), {}
    for layer, (read, write) in enumerate(zip(weights["W_enc"], weights["W_dec"], strict=True)):
        units, d = read.shape
        made[layer] = SingleLayerTranscoder(d, units, TopK(k), layer, device=torch.device("cpu"), dtype=torch.float32)
        made[layer].load_state_dict({"W_enc": read, "W_dec": write}, strict=False, assign=True)
    return TranscoderSet(made, "mlp.hook_in", "mlp.hook_out")


def main() -> None:
    """Attributes once, and says what it took."""
    setup = json.loads(sys.argv[1])
    torch.set_num_threads(setup["threads"])
    model = ReplacementModel.from_pretrained_and_transcoders(
        setup["model"], transcoders(setup["weights"], setup["k"]), backend="nnsight", device=torch.device("cpu"),
        dtype=torch.float32,
    )  # fmt: skip
    touched(model, *model.transcoders)
    with PeakAbove() as peak:
        start = time.perf_counter()
        graph = attribute(
            torch.tensor(setup["tokens"]), model, batch_size=setup["batch"], max_feature_nodes=setup["nodes"]
        )
        seconds = time.perf_counter() - start
    found = {
        "features": graph.active_features[graph.selected_features],
        "values": graph.activation_values.detach(),
        "edges": graph.adjacency_matrix.detach(),
        "targets": torch.tensor([one.vocab_idx for one in graph.logit_targets]),
        "tokens": graph.input_tokens,
    }
    save_file({name: one.contiguous() for name, one in found.items()}, setup["out"])
    print(json.dumps({"seconds": seconds, "peak": peak.bytes, "active": len(graph.active_features)}))


if __name__ == "__main__":
    main()
