"""Measures a certificate: the checks of the untouched pass, then those of the frozen one."""

import sys
from contextlib import suppress

from microtome.core.errors import FormatError
from microtome.core.progress import working
from microtome.model.anatomy import Anatomy
from microtome.model.certificate import Certificate
from microtome.model.frozen_checks import frozen_checks
from microtome.model.live_checks import live_checks
from microtome.model.model import Model
from microtome.model.module_checks import module_checks
from microtome.model.rows import text_ids
from microtome.model.sources.cache import recall, remember
from microtome.model.sources.identity import opening_key
from microtome.model.sources.load import Loaded
from microtome.model.upcast import float32_copy

TEXTS = ("The old bridge was closed on Monday, because its cables had rusted", "Seven birds sat on a wire")
FIXED = ((5, 11, 3, 17, 8, 2, 13, 7, 19, 4, 11, 6), (9, 4, 15, 3, 10, 6, 12))


def measure(model: Model) -> Certificate:
    """Runs every check on two short fixed prompts, or those that need no family. The model is left as it was."""
    long, short = _prompts(model)
    if not isinstance(model.network, Anatomy):
        return Certificate(tuple(module_checks(model, long, short)), model.card)
    wide = float32_copy(model)
    frozen = frozen_checks(wide, long, note="" if wide is model else ", on a float32 copy")
    return Certificate((*live_checks(model, long, short), *frozen), model.card)


def _prompts(model: Model) -> tuple[list[int], list[int]]:
    """Ids of the two prompts; fixed ones where there is no tokenizer, or one of another vocabulary."""
    vocabulary = model.network.vocabulary or sys.maxsize
    if model.tokenizer is not None:
        long, short = (_without_padding(text_ids(text, model.tokenizer), model) for text in TEXTS)
        if len(short) < len(long) and max(*long, *short) < vocabulary:
            return long[:16], short[:8]
    long, short = (_without_padding([one % vocabulary for one in ids], model) for ids in FIXED)
    return long, short


def _without_padding(ids: list[int], model: Model) -> list[int]:
    """Without tokens that would be refused as padding: some tokenizers pad with what unknown words become."""
    tokenizer = model.tokenizer
    if tokenizer is None or tokenizer.pad_token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        return ids
    return [one for one in ids if one != tokenizer.pad_token_id]


def certificate_of(model: Model, loaded: Loaded) -> Certificate:
    """The certificate of a model as it was loaded: remembered for files that have not changed, else measured."""
    key = opening_key(loaded)
    kept = None if key is None else recall(key, "certificate")
    if isinstance(kept, dict):
        with suppress(FormatError):  # what an older version kept is measured anew
            whole = Certificate.from_dict(kept)
            if whole.model == model.card:
                return whole
    with working("measuring how exactly the model can be looked into"):
        found = measure(model)
    if key is not None:
        remember(key, "certificate", found.to_dict())
    return found
