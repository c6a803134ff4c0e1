"""How texts are run for their activations, what of them is kept, and how."""

from dataclasses import dataclass

from microtome.activations.coding import CODINGS
from microtome.core.config import Config
from microtome.core.errors import WrongUse, nearest

MIB = 1 << 20


@dataclass(frozen=True)
class ReadingConfig(Config):
    """How texts become rows of activations.

    Attributes:
        context: tokens that the model reads at once; longer documents are cut, each piece beginning anew with the
            tokens that the tokenizer puts before a text.
        batch_rows: pieces of full length in a batch; of shorter ones more.
        pack: fill a context with several documents, which then see each other, instead of one.
        skip_special: leave special tokens out; they are marked where they are kept.
        skip_first: leave out so many tokens at the start of each document and of each context: models keep huge
            activations there that mean nothing.
        norm_limit: leave out a token whose norm, at any site, is over this multiple of that site's median (taken over
            the first tokens); None leaves none out.
        seed: of the order of batches, and of everything shuffled.

    Raises:
        WrongUse: a number is out of its range.
    """

    context: int = 128
    batch_rows: int = 16
    pack: bool = False
    skip_special: bool = True
    skip_first: int = 1
    norm_limit: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"context": 2, "batch_rows": 1, "skip_first": 0, "seed": 0}
        low = [f"{name}={self.to_dict()[name]}" for name, bound in least.items() if self.to_dict()[name] < bound]
        if self.norm_limit is not None and not self.norm_limit > 1:
            low.append(f"norm_limit={self.norm_limit}")
        if self.skip_first >= self.context:
            low.append(f"skip_first={self.skip_first} of context={self.context}")
        if low:
            bounds = ", ".join(f"{name} of at least {bound}" for name, bound in least.items())
            raise WrongUse(
                "read activations",
                found=", ".join(low),
                do=f"give {bounds}, fewer first tokens than a context has, and a norm_limit above 1 or none",
            )


@dataclass(frozen=True)
class HarvestConfig(ReadingConfig):
    """How activations are kept on disk.

    Attributes:
        dtype: `bfloat16`, `float32`, or `int8` with one scale a row.
        shard_bytes: about the size of a shard. A shard is what is lost at most when a harvest is interrupted, and
            what is held in memory while it is filled.

    Raises:
        WrongUse: an unknown dtype, or a number is out of its range.
    """

    dtype: str = "bfloat16"
    shard_bytes: int = 256 * MIB

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype not in CODINGS:
            raise WrongUse("keep activations", found=f"dtype={nearest(self.dtype, CODINGS)}", do="choose one of these")
        if self.shard_bytes < 1:
            raise WrongUse("keep activations", found=f"shard_bytes={self.shard_bytes}", do="give a size in bytes")


@dataclass(frozen=True)
class StreamConfig(ReadingConfig):
    """How activations are shuffled in memory.

    Attributes:
        buffer_rows: tokens that the buffer holds at all sites, at most.
        buffer_bytes: memory that the buffer takes, at most; it holds bfloat16. One batch at all sites, in the model's
            own dtype, comes on top while the buffer is filled.

    Raises:
        WrongUse: a number is out of its range.
    """

    buffer_rows: int = 1 << 17
    buffer_bytes: int = 4096 * MIB

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buffer_rows < 3:
            raise WrongUse("shuffle activations", found=f"buffer_rows={self.buffer_rows}", do="give 3 or more")
