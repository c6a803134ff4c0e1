"""From placed parts to the weights of a GPT-2.

Every norm is held still, so that a branch reads just what the stream holds:

- The mean is 0: whatever is written, to any row, its sum is written with a minus sign to one row, the counterweight.
- The standard deviation is √(2B²/d) but for a relative error of Σx²/(4B²): two rows hold ±B at every position, the
  ballast. The norm's weight multiplies by the same number, and by 0 in the rows that hold it still.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from microtome.toy.compiled.language import Indices, Program, Tokens
from microtome.toy.compiled.parts import BOS, Direction, Head, Unit, shown
from microtome.toy.compiled.placing import HOLDING, Placed

UP, DOWN, COUNTERWEIGHT = range(HOLDING)
Weights = dict[str, torch.nn.Parameter]
LOGIT = 10.0  # of the answer; other outputs have 0, other words −10, the BOS 5: it wins where the answer is nothing
POSITIONS = 64  # at least, so that what runs texts of its own through a model can; those beyond a program's are 0
DECOY = 0.3  # standard deviation of a decoy's weights


def network(program: Program, placed: Placed, words: tuple[str, ...]) -> GPT2LMHeadModel:
    """The network in float32, with microtome's words as its vocabulary.

    Args:
        program: what is compiled.
        placed: its parts.
        words: of the vocabulary, the BOS first.
    """
    config = GPT2Config(
        vocab_size=len(words), n_positions=max(program.longest + 1, POSITIONS), n_embd=placed.width,
        n_layer=placed.layers, n_head=placed.heads_per_layer, n_inner=placed.units_per_layer,
        activation_function="relu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    module = GPT2LMHeadModel(config).eval().requires_grad_(False)
    weights: Weights = dict(module.named_parameters())
    for parameter in weights.values():
        parameter.zero_()
    _hold_norms(weights, placed, config.layer_norm_epsilon)
    _write_ends(weights, program, placed, words)
    random = torch.Generator().manual_seed(placed.config.seed)
    _write_idle(weights, placed, random)
    for name, head in placed.heads.items():
        _write_head(weights, name, head, placed)
    for name, unit in placed.units.items():
        _write_unit(weights, name, unit, placed)
    for name in placed.decoys:
        _write_decoy(weights, name, placed, random)
    _balance(weights)
    return module


def _hold_norms(weights: Weights, placed: Placed, epsilon: float) -> None:
    deviation = math.sqrt(2 * placed.config.ballast**2 / placed.width + epsilon)
    for name, weight in weights.items():
        if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")):
            weight.fill_(deviation)
            weight[:HOLDING] = 0
    weights["transformer.ln_f.bias"][UP] = 1  # a constant for the logit of the BOS, the only one that needs one


def _write_ends(weights: Weights, program: Program, placed: Placed, words: tuple[str, ...]) -> None:
    rows, tokens, logits = placed.rows, weights["transformer.wte.weight"], weights["lm_head.weight"]
    tokens[:, UP], tokens[:, DOWN] = placed.config.ballast, -placed.config.ballast
    tokens[0, rows[BOS]] = 1
    for word in program.words:
        tokens[words.index(word), rows[Direction(Tokens(), word)]] = 1
    for place in range(program.longest):
        weights["transformer.wpe.weight"][1 + place, rows[Direction(Indices(), place)]] = 1
    reads = [rows[Direction(program.output, value)] for value in program.domain(program.output)]
    logits[1:, reads] = -LOGIT  # words that are no output are the less likely for every answer
    for value, row in zip(program.domain(program.output), reads, strict=True):
        logits[words.index(shown(value)), reads] = 0
        logits[words.index(shown(value)), row] = LOGIT
    logits[0, UP] = LOGIT / 2


def _write_head(weights: Weights, name: str, head: Head, placed: Placed) -> None:
    (layer, slot), width = place_of(name), placed.head_width
    attention, channels = f"transformer.h.{layer}.attn", slice(slot * width, (slot + 1) * width)
    q, k, v = weights[f"{attention}.c_attn.weight"].split(placed.width, dim=1)
    root = math.sqrt(width)  # by which attention divides its scores
    q[:, channels] = root * matrix(head.queries, placed)
    k[:, channels] = matrix(head.keys, placed)
    v[:, channels] = matrix(head.values, placed)
    of_bos = channels.start + next(channel for where, channel in head.keys if where == BOS)
    weights[f"{attention}.c_attn.bias"][of_bos] = root * head.bos
    writes = {(where, channel): weight for (channel, where), weight in head.writes.items()}
    weights[f"{attention}.c_proj.weight"][channels] = matrix(writes, placed).T


def _write_unit(weights: Weights, name: str, unit: Unit, placed: Placed) -> None:
    layer, slot = place_of(name)
    mlp = f"transformer.h.{layer}.mlp"
    weights[f"{mlp}.c_fc.weight"][:, slot] = vector(unit.reads, placed)
    weights[f"{mlp}.c_fc.bias"][slot] = unit.bias
    weights[f"{mlp}.c_proj.weight"][slot] = vector(unit.writes, placed)


def _write_idle(weights: Weights, placed: Placed, random: torch.Generator) -> None:
    """Lets every unit read at random, before the program's are written: idle ones are active, and write nothing."""
    known = len(placed.parts.directions)
    for layer in range(placed.layers):
        drawn = torch.randn(known, placed.units_per_layer, generator=random)
        weights[f"transformer.h.{layer}.mlp.c_fc.weight"][HOLDING : HOLDING + known] = DECOY * drawn


def _write_decoy(weights: Weights, name: str, placed: Placed, random: torch.Generator) -> None:
    """Small random weights from all that the program holds to rows that it does not read."""
    (layer, slot), width = place_of(name), placed.head_width
    layer_name, known = f"transformer.h.{layer}", len(placed.parts.directions)
    read, spare = slice(HOLDING, HOLDING + known), slice(placed.spare.start, placed.spare.stop)

    def drawn(*shape: int) -> Float[Tensor, "..."]:
        return DECOY * torch.randn(shape, generator=random)

    if name.startswith("unit"):
        weights[f"{layer_name}.mlp.c_fc.weight"][read, slot] = drawn(known)
        weights[f"{layer_name}.mlp.c_proj.weight"][slot, spare] = drawn(len(placed.spare))
        return
    channels = slice(slot * width, (slot + 1) * width)
    for part in weights[f"{layer_name}.attn.c_attn.weight"].split(placed.width, dim=1):
        part[read, channels] = drawn(known, width)
    weights[f"{layer_name}.attn.c_proj.weight"][channels, spare] = drawn(width, len(placed.spare))


def _balance(weights: Weights) -> None:
    """Gives everything that is written its counterweight."""
    for name, weight in weights.items():
        if name.endswith(("wte.weight", "wpe.weight", "c_proj.weight")):
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
