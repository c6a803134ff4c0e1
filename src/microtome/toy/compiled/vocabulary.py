"""A tokenizer of whole words, made in memory."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from microtome.core.errors import WrongUse
from microtome.toy.compiled.language import Program
from microtome.toy.compiled.parts import shown

BOS_WORD = "<bos>"


def words_of(program: Program) -> tuple[str, ...]:
    """The BOS, the words of inputs, and the words of outputs that are none of these.

    Raises:
        WrongUse: two outputs are the same word, one has a space, or a word is the BOS.
    """
    outputs = [shown(value) for value in program.domain(program.output)]
    if len(set(outputs)) < len(outputs) or any(len(word.split()) != 1 for word in outputs) or not outputs:
        raise WrongUse(
            "compile a program", found=f"the outputs {', '.join(map(repr, outputs)) or 'nothing'}",
            do="give outputs that are different words",
        )  # fmt: skip
    if BOS_WORD in {*program.words, *outputs}:
        raise WrongUse("compile a program", found=f"the word {BOS_WORD!r}", do="leave it for the start of every text")
    return (BOS_WORD, *dict.fromkeys((*program.words, *outputs)))


def tokenizer_of(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A token for each word, cut at spaces; the first word is put before every text."""
    ids = {word: place for place, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=BOS_WORD))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece(prefix="", cleanup=False)  # words with spaces between, and nothing else
    backend.post_processor = processors.TemplateProcessing(single=f"{BOS_WORD} $A", special_tokens=[(BOS_WORD, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=BOS_WORD, eos_token=BOS_WORD, pad_token=BOS_WORD)
