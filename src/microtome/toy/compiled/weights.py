"""From placed parts to the weights of a GPT-2.

Every norm is held still, so that a branch reads just what the stream holds:

- The mean is 0: whatever is written, to any row, its sum is written with a minus sign to one row, the counterweight.
- The standard deviation is √(2B²/d) but for a relative error of Σx²/(4B²): two rows hold ±B at every position, the
  ballast. The norm's weight multiplies by the same number, and by 0 in the rows that hold it still.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from microtome.toy.compiled.language import Indices, Program, Tokens
from microtome.toy.compiled.parts import BOS, Direction, Head, Unit, directions_of, shown
from microtome.toy.compiled.placing import HOLDING, Placed

UP, DOWN, COUNTERWEIGHT = range(HOLDING)
LOGIT = 10.0  # of the answer; every other word has 0, and the BOS half of it, for where the answer is nothing
DECOY = 0.3  # standard deviation of a decoy's weights


def network(program: Program, placed: Placed, words: tuple[str, ...]) -> GPT2LMHeadModel:
    """The network in float32, with microtome's words as its vocabulary.

    Args:
        program: what is compiled.
        placed: its parts.
        words: of the vocabulary, the BOS first.
    """
    config = GPT2Config(
        vocab_size=len(words), n_positions=program.longest + 1, n_embd=placed.width, n_layer=placed.layers,
        n_head=placed.heads_per_layer, n_inner=placed.units_per_layer, activation_function="relu",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    module = GPT2LMHeadModel(config).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.zero_()
    _hold_norms(module, placed)
    _write_ends(module, program, placed, words)
    for name, head in placed.heads.items():
        _write_head(module, name, head, placed)
    for name, unit in placed.units.items():
        _write_unit(module, name, unit, placed)
    random = torch.Generator().manual_seed(placed.config.seed)
    for name in placed.decoys:
        _write_decoy(module, name, placed, random)
    _balance(module)
    return module


def _hold_norms(module: GPT2LMHeadModel, placed: Placed) -> None:
    deviation = math.sqrt(2 * placed.config.ballast**2 / placed.width + module.config.layer_norm_epsilon)
    for norm in (norm for norm in module.modules() if isinstance(norm, torch.nn.LayerNorm)):
        norm.weight.fill_(deviation)
        norm.weight[:HOLDING] = 0
    module.transformer.ln_f.bias[UP] = 1  # a constant for the logit of the BOS, the only one that needs one


def _write_ends(module: GPT2LMHeadModel, program: Program, placed: Placed, words: tuple[str, ...]) -> None:
    rows, tokens, positions = placed.rows, module.transformer.wte.weight, module.transformer.wpe.weight
    tokens[:, UP], tokens[:, DOWN] = placed.config.ballast, -placed.config.ballast
    tokens[0, rows[BOS]] = 1
    for where in directions_of(Tokens(), program):
        tokens[words.index(shown(where.value or "")), rows[where]] = 1
    for place, where in enumerate(directions_of(Indices(), program)):
        positions[1 + place, rows[where]] = 1
    for where in directions_of(program.output, program):
        module.lm_head.weight[words.index(shown(where.value or 0)), rows[where]] = LOGIT
    module.lm_head.weight[0, UP] = LOGIT / 2


def _write_head(module: GPT2LMHeadModel, name: str, head: Head, placed: Placed) -> None:
    layer, slot = place_of(name)
    attention, width = module.transformer.h[layer].attn, placed.head_width
    channels = slice(slot * width, (slot + 1) * width)
    q, k, v = attention.c_attn.weight.split(placed.width, dim=1)
    root = math.sqrt(width)  # by which attention divides its scores
    q[:, channels] = root * matrix(head.queries, placed)
    k[:, channels] = matrix(head.keys, placed)
    v[:, channels] = matrix(head.values, placed)
    attention.c_attn.bias[channels.start + max(channel for _, channel in head.keys)] = root * head.bos
    writes = {(where, channel): weight for (channel, where), weight in head.writes.items()}
    attention.c_proj.weight[channels] = matrix(writes, placed).T


def _write_unit(module: GPT2LMHeadModel, name: str, unit: Unit, placed: Placed) -> None:
    layer, slot = place_of(name)
    mlp = module.transformer.h[layer].mlp
    mlp.c_fc.weight[:, slot] = vector(unit.reads, placed)
    mlp.c_fc.bias[slot] = unit.bias
    mlp.c_proj.weight[slot] = vector(unit.writes, placed)


def _write_decoy(module: GPT2LMHeadModel, name: str, placed: Placed, random: torch.Generator) -> None:
    """Small random weights from all that the program holds to rows that it does not read."""
    layer, slot = place_of(name)
    block, width = module.transformer.h[layer], placed.head_width
    read, spare = slice(HOLDING, HOLDING + len(placed.parts.directions)), slice(placed.spare.start, placed.spare.stop)

    def drawn(*shape: int) -> Float[Tensor, "..."]:
        return DECOY * torch.randn(shape, generator=random)

    if name.startswith("unit"):
        block.mlp.c_fc.weight[read, slot] = drawn(read.stop - read.start)
        block.mlp.c_proj.weight[slot, spare] = drawn(len(placed.spare))
        return
    channels = slice(slot * width, (slot + 1) * width)
    for part in block.attn.c_attn.weight.split(placed.width, dim=1):
        part[read, channels] = drawn(read.stop - read.start, width)
    block.attn.c_proj.weight[channels, spare] = drawn(width, len(placed.spare))


def _balance(module: GPT2LMHeadModel) -> None:
    """Gives everything that is written its counterweight."""
    written: Iterable[Tensor] = (
        module.transformer.wte.weight,
        module.transformer.wpe.weight,
        *(block.attn.c_proj.weight for block in module.transformer.h),
        *(block.mlp.c_proj.weight for block in module.transformer.h),
    )
    for weight in written:
        weight[:, COUNTERWEIGHT] = -weight.double().sum(1)


def place_of(name: str) -> tuple[int, int]:
    """Layer and slot of `head.L.H` or `unit.L.U`."""
    _, layer, slot = name.split(".")
    return int(layer), int(slot)


def matrix(weights: Mapping[tuple[Direction, int], float], placed: Placed) -> Float[Tensor, "d c"]:
    """Weights by direction and channel, as they stand in the network."""
    found, rows = torch.zeros(placed.width, placed.head_width), placed.rows
    for (where, channel), weight in weights.items():
        found[rows[where], channel] = weight
    return found


def vector(weights: Mapping[Direction, float], placed: Placed) -> Float[Tensor, " d"]:
    """Weights by direction, as they stand in the stream."""
    found, rows = torch.zeros(placed.width), placed.rows
    for where, weight in weights.items():
        found[rows[where]] = weight
    return found
