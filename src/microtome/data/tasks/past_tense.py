"""Past tense: after two examples, "Today I jump, yesterday I" → " jumped"."""

from collections.abc import Iterator
from random import Random

from microtome.data.generator import asked, generator
from microtome.data.row import Row

EXAMPLES = "Today I walk, yesterday I walked. Today I see, yesterday I saw."  # one regular, one not

PAST = {
    "ask": "asked",
    "begin": "began",
    "break": "broke",
    "bring": "brought",
    "build": "built",
    "buy": "bought",
    "call": "called",
    "catch": "caught",
    "change": "changed",
    "choose": "chose",
    "clean": "cleaned",
    "come": "came",
    "cook": "cooked",
    "cry": "cried",
    "dance": "danced",
    "draw": "drew",
    "drink": "drank",
    "drive": "drove",
    "eat": "ate",
    "fall": "fell",
    "feel": "felt",
    "fight": "fought",
    "find": "found",
    "fly": "flew",
    "forget": "forgot",
    "give": "gave",
    "go": "went",
    "grow": "grew",
    "hear": "heard",
    "help": "helped",
    "jump": "jumped",
    "keep": "kept",
    "know": "knew",
    "laugh": "laughed",
    "learn": "learned",
    "leave": "left",
    "listen": "listened",
    "look": "looked",
    "lose": "lost",
    "make": "made",
    "meet": "met",
    "open": "opened",
    "pay": "paid",
    "play": "played",
    "ride": "rode",
    "run": "ran",
    "sell": "sold",
    "send": "sent",
    "sing": "sang",
    "sit": "sat",
    "sleep": "slept",
    "speak": "spoke",
    "stand": "stood",
    "start": "started",
    "swim": "swam",
    "take": "took",
    "talk": "talked",
    "teach": "taught",
    "tell": "told",
    "think": "thought",
    "throw": "threw",
    "visit": "visited",
    "wait": "waited",
    "watch": "watched",
    "wear": "wore",
    "win": "won",
    "work": "worked",
    "write": "wrote",
}


@generator("past-tense", summary="a verb's past tense after two examples, against that of another verb")
def past_tense(rng: Random) -> Iterator[Row]:
    """The counterfactual asks for another verb after the same examples."""
    return asked(rng, f"{EXAMPLES} Today I {{}}, yesterday I", PAST)
