"""Stories that SmolLM2 writes when it may say nothing but simple words: what `tiny` learns from.

At each step the model's own distribution is cut to the words of `simple_words`, each one token of its tokenizer, and
to punctuation. So a few hundred thousand words of text suffice to learn it.
"""

import random
from collections.abc import Iterable
from pathlib import Path

import simple_words as words
import torch
from torch import Tensor
from transformers import StaticCache

import microtome as mt
from microtome.core.artefact import written_whole
from microtome.core.progress import track

ROWS, TOKENS = 96, 64
"""Stories sampled at once, and tokens added to each opening. Longer ones go round in circles."""
TEMPERATURE, CHOICES = 0.8, 30
TIRED = 0.3
"""What a word's score loses each time that a story has used it, for the same reason."""
QUOTE = ' "'
MARKS = (".", ",", "!", "?", '."', ',"', '!"', '?"', "'s", "'t", "'m", "'ll", "'re", QUOTE)


class Sayable:
    """The tokens that may be said: what follows an opening quotation mark has no space before it.

    Attributes:
        ids: of all of them.
        words: whether each is a word, and no mark.
        after: whether each may be said after anything but an opening mark, and after one; `[2, ids]`.
    """

    def __init__(self, model: mt.Model):
        def single(texts: Iterable[str]) -> set[int]:
            encoded = (model.tokenizer.encode(text, add_special_tokens=False) for text in texts)
            return {ids[0] for ids in encoded if len(ids) == 1}

        listed = words.vocabulary()
        spaced = single([" " + form for word in listed for form in {word, word.capitalize()}])
        opening = single(word.capitalize() for word in listed)
        marks = single(MARKS)
        self.ids = torch.tensor(sorted(spaced | opening | marks))
        self.quote = model.tokenizer.encode(QUOTE, add_special_tokens=False)[0]
        self.words = torch.tensor([i not in marks for i in self.ids.tolist()])
        self.after = torch.tensor([[i in spaced | marks, i in opening] for i in self.ids.tolist()]).T

    def masked(self, scores: Tensor, last: Tensor) -> Tensor:
        """Scores of what may be said after the last tokens; `[b, ids]`."""
        return scores.masked_fill(~self.after[(last == self.quote).long()], -torch.inf)


def opening(draw: random.Random) -> str:
    """How one story begins."""
    he = draw.choice(["he", "she"])
    name, friend = draw.sample(words.NAMES[he].split(), 2)
    lists = {"animal": words.ANIMALS, "person": words.PEOPLE, "trait": words.TRAITS, "thing": words.THINGS}
    lists |= {"colour": words.COLOURS, "place": words.PLACES, "deed": words.DEEDS}
    drawn = {slot: draw.choice(listed.split()) for slot, listed in lists.items()}
    text = draw.choice(words.OPENINGS).format(name=name, friend=friend, he=he, He=he.capitalize(), **drawn)
    for vowel in "aeiou":
        text = text.replace(f" a {vowel}", f" an {vowel}").replace(f"A {vowel}", f"An {vowel}")
    return text


@torch.no_grad()
def batch(model: mt.Model, sayable: Sayable, seed: int) -> list[str]:
    """Stories of one seed, cut after the last whole sentence."""
    draw = random.Random(seed)
    starts = [opening(draw) for _ in range(ROWS)]
    generator = torch.Generator().manual_seed(seed)
    encoded = model.tokenizer(starts, return_tensors="pt", padding=True, padding_side="left")
    mask = encoded.attention_mask
    network, ids, said = model.module, encoded.input_ids, []
    cache = StaticCache(network.config, max_cache_len=ids.shape[1] + TOKENS)  # does not copy itself at each step
    places = (mask.cumsum(1) - 1).clamp(min=0)
    head = network.get_output_embeddings().weight[sayable.ids]
    used = torch.zeros(ROWS, len(sayable.ids))
    for _ in range(TOKENS):
        hidden = network.model(ids, attention_mask=mask, position_ids=places, past_key_values=cache).last_hidden_state
        scores = ((hidden[:, -1] @ head.T).float() - TIRED * used * sayable.words) / TEMPERATURE
        best, which = sayable.masked(scores, ids[:, -1]).topk(CHOICES)
        chosen = which.gather(1, torch.multinomial(best.softmax(-1), 1, generator=generator))
        used.scatter_add_(1, chosen, torch.ones(ROWS, 1))
        ids = sayable.ids[chosen]
        said.append(ids)
        mask, places = torch.cat([mask, torch.ones_like(ids)], 1), places[:, -1:] + 1
    told = model.tokenizer.batch_decode(torch.cat(said, 1))
    return [whole_sentences(start + rest) for start, rest in zip(starts, told, strict=True)]


def whole_sentences(text: str) -> str:
    """Cut after the last sign that ends a sentence."""
    ends = [at + len(sign) for sign in ('."', '!"', '?"', ".", "!", "?") if (at := text.rfind(sign)) >= 0]
    return text[: max(ends)]


def stories(folder: Path, batches: int) -> list[str]:
    """Different stories of the first seeds, a file each batch; what an earlier run wrote is read."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{seed:04}.txt" for seed in range(batches)]
    if lacking := [file for file in files if not file.exists()]:
        model = mt.open("smollm2", dtype="bfloat16", attention="sdpa", certify=False)
        sayable = Sayable(model)
        for file in track(lacking, "writing stories"):
            with written_whole(file) as temporary:
                temporary.write_text("\n".join(batch(model, sayable, int(file.stem))) + "\n", encoding="utf-8")
    told = [story for file in files for story in file.read_text(encoding="utf-8").splitlines()]
    return list(dict.fromkeys(told))
