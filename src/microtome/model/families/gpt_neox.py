"""GPT-NeoX and Pythia: q, k, v fused head by head; branches in parallel unless the config says not."""

from transformers import PretrainedConfig

from microtome.model.family import FAMILIES, Family, Settings


def settings(config: PretrainedConfig) -> Settings:
    """The config decides; Pythia is parallel."""
    return Settings(parallel=bool(config.use_parallel_residual))


NEOX = Family(
    layers="gpt_neox.layers",
    embed="gpt_neox.embed_in",
    final_norm="gpt_neox.final_layer_norm",
    attention="attention",
    values="attention.query_key_value",
    values_layout="heads",
    heads_out="attention.dense",
    gate="mlp.dense_h_to_4h",
    up=None,
    down="mlp.dense_4h_to_h",
    mlp_layout="plain",
    activation="mlp.act",
    settings=settings,
)
FAMILIES.add("gpt_neox", NEOX, summary="GPT-NeoX, Pythia: parallel branches, no gate", home=__name__)
