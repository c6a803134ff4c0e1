"""A small tokenizer of one's own: byte pairs learned from texts."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from microtome.core.errors import WrongUse

END = "<|end|>"
BYTES = 256


def vocabulary(texts: Iterable[str], size: int = 1024) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that puts `<|end|>` before every text and can say any text at all.

    Args:
        texts: from which the most frequent pairs are learned (Sennrich et al. 2016, section 3.2).
        size: tokens in all: `<|end|>`, the 256 bytes, and merged pairs.

    Raises:
        WrongUse: no room for the bytes.
    """
    if size <= BYTES:
        raise WrongUse("learn a vocabulary", found=f"size={size}", do=f"give more than {BYTES}, one for each byte")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, backend.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END, pad_token=END)
