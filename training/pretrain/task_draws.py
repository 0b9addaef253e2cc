"""Drawing rows for the built-in tasks: what makes a prompt one that pretraining can't have seen."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from training.pretrain import desk
from training.pretrain.world import Draw, slots_of, word_pools

Json = dict[str, Any]
SEED = 5
"""Of all rows; 0 and 1 are those of the held-out requests that the models' cards report."""
SAME_IN_BOTH = ("honorific", "syllables")
"""Pools whose held-out part holds no words of its own."""


def drawn(task: str, count: int, make: Callable[[random.Random], Json | None]) -> Iterator[Json]:
    """Yield `count` rows with different last messages; `make` returns None for one to leave out."""
    seen: set[str] = set()
    index = 0
    while len(seen) < count:
        row = make(random.Random(f"task:{SEED}:{task}:{index}"))
        index += 1
        if row is not None and (text := row["input"][-1]["content"]) not in seen:
            seen.add(text)
            yield row


def numbered(task: str, rows: Iterator[Json]) -> Iterator[Json]:
    """Give the rows ids."""
    for number, row in enumerate(rows, start=1):
        yield {"id": f"{task}-{number:03d}", **row}


def has_held_out_word(text: str) -> bool:
    """Say whether the text has a word of a held-out pool that is in no pool of training."""
    return _held_out_words().search(text) is not None


def templated(offered: desk.Offer, draw: Draw) -> tuple[desk.Request, str]:
    """Return a bare request that the tool answers, and the name of the phrasing it is made of."""
    phrasings = offered.tool.phrasings[draw.phrasings]
    allowed = set(offered.parameter_names)
    fitting = [i for i, phrasing in enumerate(phrasings) if set(slots_of(phrasing)) <= allowed]
    chosen = draw.rng.choice(fitting)
    tool = replace(offered.tool, phrasings={draw.phrasings: (phrasings[chosen],)})
    request = desk.plain_request(replace(offered, tool=tool), draw)
    return request, f"{tool.key} {draw.phrasings} {chosen}"


def outside(draw: Draw) -> tuple[str, str]:
    """Return a request that is no matter of the desk's, and the name of its phrasing."""
    chosen = draw.rng.randrange(len(desk.OUTSIDE))
    numbers = {"n": draw.rng.randrange(2, 90), "m": draw.rng.randrange(2, 90)}
    text = desk.OUTSIDE[chosen].format(place=draw.word("last"), thing=draw.word("thing"), **numbers)
    return text, f"outside {chosen}"


@cache
def _held_out_words() -> re.Pattern[str]:
    pools = {name: pool for name, pool in word_pools().items() if "heldout" in pool}
    known = " ".join(word for pool in pools.values() for word in pool["train"]).casefold()
    words = {
        word
        for name, pool in pools.items()
        if name not in SAME_IN_BOTH
        for word in pool["heldout"]
        if word.casefold() not in known
    }
    return re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(words))) + r")\b")
