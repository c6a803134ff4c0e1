"""Cuts prompts into the blocks of a basis: what its parts have units for, and neurons elsewhere."""

from microtome.circuit.bases.neurons import Neurons
from microtome.circuit.basis import Basis, BlockUnits, Cut, Slice, Written
from microtome.circuit.places import Place, listed, reading
from microtome.core.errors import WrongUse
from microtome.model.frozen import Frozen


def cut(basis: Basis, clean: Frozen, other: Frozen | None) -> tuple[Cut, Cut | None]:
    """Both prompts in a basis, with the same units in the same columns.

    Raises:
        WrongUse: two parts write one place.
    """
    prompts = [clean] if other is None else [clean, other]
    by_part = [part.cut(prompts) for part in basis.parts]
    written = [place for slices in by_part for place in slices[0].written]
    twice = [place for place in dict.fromkeys(written) if written.count(place) > 1]
    if twice:
        raise WrongUse(
            f"cut a prompt into {basis.name}",
            found=f"two sets of units that write {listed(twice)}",
            do="give one of them, or dictionaries of different places",
        )
    free = [i for i in range(len(clean.layers)) if Place(i, "mlp.out") not in written]
    by_part.append(Neurons(free).cut(prompts))
    cuts = [_cut(prompt, [slices[i] for slices in by_part]) for i, prompt in enumerate(prompts)]
    return cuts[0], cuts[1] if len(cuts) > 1 else None


def _cut(prompt: Frozen, slices: list[Slice]) -> Cut:
    written: dict[Place, Written] = {}
    for one in slices:
        written |= one.written

    def last_read(block: BlockUnits) -> int:
        return max(reading(place, parallel=prompt.parallel) for place in block.reads)

    blocks = sorted((block for one in slices for block in one.blocks), key=last_read)
    return Cut(prompt, blocks, dict(sorted(written.items(), key=lambda item: item[0])))
