"""Trains sae-lens on batches from a file, in steps as it is told on standard input. Runs in the peer's environment.

Each line asked is JSON, `{"steps": 5}` or `{"evaluate": true}`; each answer is a line of JSON.
"""

import json
import resource
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
import torch  # noqa: E402
from sae_lens import (  # noqa: E402
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import LoggingConfig, SAETrainerConfig  # noqa: E402
from sae_lens.training.sae_trainer import SAETrainer  # noqa: E402


def trainer(setup: dict, first: torch.Tensor) -> SAETrainer:
    """The peer's own trainer, with its defaults but for what both sides share."""
    common = {"d_in": first.shape[1], "d_sae": setup["units"], "device": "cpu", "dtype": "float32"}
    sae = {
        "topk": lambda: TopKTrainingSAE(TopKTrainingSAEConfig(k=setup["k"], **common)),
        "batchtopk": lambda: BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(k=setup["k"], **common)),
        "jumprelu": lambda: JumpReLUTrainingSAE(
            JumpReLUTrainingSAEConfig(l0_coefficient=setup["l0"], jumprelu_init_threshold=setup["threshold"], **common)
        ),
    }[setup["architecture"]]()
    with torch.no_grad():
        sae.b_dec.copy_(first.mean(0))
    config = SAETrainerConfig(
        total_training_samples=setup["batch"] * setup["total"], train_batch_size_samples=setup["batch"], device="cpu",
        lr=setup["lr"], lr_end=setup["lr"] / 10, lr_scheduler_name="constant", lr_warm_up_steps=0, lr_decay_steps=0,
        n_restart_cycles=1, adam_beta1=0.9, adam_beta2=0.999, autocast=setup["autocast"], feature_sampling_window=1000,
        dead_feature_window=1000, logger=LoggingConfig(log_to_wandb=False), n_checkpoints=0, checkpoint_path=None,
        save_final_checkpoint=False, n_batches_for_norm_estimate=2,
    )  # fmt: skip
    return SAETrainer(config, sae, iter([first]), None, None)


def main() -> None:
    """Answers until standard input ends."""
    setup = json.loads(sys.argv[1])
    torch.set_num_threads(setup["threads"])
    torch.manual_seed(0)
    data = torch.from_numpy(np.load(setup["data"]))
    batch, held_out = setup["batch"], data[-setup["held_out"] :].clone()
    training = (len(data) - setup["held_out"]) // batch
    one, step = trainer(setup, data[:batch].clone()), 0
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        taken = []
        for _ in range(asked.get("steps", 0)):
            x = data[(step % training) * batch :][:batch].clone()
            start = time.perf_counter()
            one._train_step(sae=one.sae, sae_in=x)
            taken.append(time.perf_counter() - start)
            step += 1
        if asked.get("evaluate"):
            with torch.no_grad():
                one.sae.eval()
                error, codes = 0.0, 0.0
                for x in held_out.split(1024):
                    f = one.sae.encode(x)
                    error += float((x - one.sae.decode(f)).square().sum())
                    codes += float((f > 0).sum())
                one.sae.train()
            total = float((held_out - held_out.mean(0)).square().sum())
            answer = {"unexplained": error / total, "l0": codes / len(held_out)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"taken": taken, "step": step, "peak_mb": peak, **answer}), flush=True)


if __name__ == "__main__":
    main()
