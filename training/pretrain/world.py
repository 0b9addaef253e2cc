"""The gala's house desk: tools that change their names, and the words values are made of.

Held-out words, phrasings and tool names are drawn only when a `Draw` asks for them, so nothing
that the held-out figures measure can reach the pretraining text.
"""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from core.errors import InputError

Source = Literal["train", "heldout"]
Value = str | int
HERE = Path(__file__).parent
COUNT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool of the world."""

    key: str
    """The slot it has in phrasings."""
    kind: str
    """Which generator of `VALUES` makes its values."""
    type: str
    """JSON Schema type."""
    names: tuple[str, ...]
    """What schemas may call it."""
    optional: bool = False
    values: tuple[str, ...] = ()
    """The whole enumeration, for kind `enum`."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One ability of the desk, with everything about it that varies."""

    key: str
    intent: str
    names: Mapping[Source, tuple[str, ...]]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    phrasings: Mapping[Source, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Draw:
    """Where each varying part comes from, and the randomness it is drawn with."""

    rng: random.Random
    values: Source = "train"
    phrasings: Source = "train"
    names: Source = "train"
    novel_words: float = 0.0
    """Share of words that are made up, so that they can only be copied."""
    novel_names: float = 0.0
    """The same of tool names."""

    def word(self, pool: str) -> str:
        """Return a word of a pool of `values.yaml`, or now and then one that is in none."""
        if self.is_novel(self.novel_words):
            words = [pseudo_word(self.rng) for _ in range(self.rng.choice((1, 1, 2)))]
            return " ".join(words)
        return self.rng.choice(word_pools()[pool][self.values])

    def is_novel(self, share: float) -> bool:
        """Say whether the next word or name is to be made up, given their share."""
        return share > 0 and self.rng.random() < share


@cache
def word_pools() -> dict[str, dict[str, list[str]]]:
    """Return the pools of `values.yaml`, each with its train and its held-out words."""
    pools: dict[str, dict[str, list[str]]] = yaml.safe_load(
        (HERE / "values.yaml").read_text(encoding="utf-8")
    )
    return pools


@cache
def _world() -> dict[str, Any]:
    world: dict[str, Any] = yaml.safe_load((HERE / "world.yaml").read_text(encoding="utf-8"))
    return world


@cache
def tools() -> tuple[Tool, ...]:
    """Return the desk's tools in file order."""
    return tuple(_tool(key, entry) for key, entry in _world()["tools"].items())


@cache
def imperatives() -> frozenset[str]:
    """Return the first words of phrasings that are imperatives."""
    return frozenset(_world()["imperatives"])


def tool(key: str) -> Tool:
    """Return one tool by its key in `world.yaml`."""
    for found in tools():
        if found.key == key:
            return found
    raise InputError(f"no tool named {key!r} in world.yaml")


def _tool(key: str, entry: dict[str, Any]) -> Tool:
    parameters = tuple(
        Parameter(
            key=name,
            kind=spec["kind"],
            type=spec["type"],
            names=tuple(spec["names"]),
            optional=spec.get("optional", False),
            values=tuple(spec.get("values", ())),
        )
        for name, spec in entry["parameters"].items()
    )
    return Tool(
        key=key,
        intent=entry["intent"],
        names=_by_source(entry["names"]),
        descriptions=tuple(entry["descriptions"]),
        parameters=parameters,
        phrasings=_by_source(entry["phrasings"]),
    )


def _by_source(lists: Mapping[Source, Sequence[str]]) -> dict[Source, tuple[str, ...]]:
    return {"train": tuple(lists["train"]), "heldout": tuple(lists["heldout"])}


def made_up_word(draw: Draw) -> str:
    """Return a pronounceable word of two to four syllables that no list contains."""
    if draw.is_novel(draw.novel_words):
        return pseudo_word(draw.rng)
    pieces = word_pools()["syllables"][draw.values]
    return "".join(draw.rng.choices(pieces, k=draw.rng.choice((2, 2, 3, 3, 4))))


@cache
def token_pieces() -> tuple[str, ...]:
    """Return the tokenizer's tokens of two and more letters."""
    tokens = json.loads((HERE / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return tuple(token for token in tokens if re.fullmatch("[A-Za-z][a-z]+", token))


def pseudo_word(rng: random.Random) -> str:
    """Return a word of one to three syllables of any letters, or of two or three tokens.

    The latter practise every token: a rare one that was never copied is replaced by a frequent one.
    """
    if rng.random() < 0.6:
        return "".join(rng.choices(token_pieces(), k=rng.choice((2, 2, 3)))).lower()
    parts = word_pools()["letters"]
    pieces = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        pieces += [rng.choice(parts[part]) for part in ("onset", "vowel", "coda")]
    return "".join(pieces)


def person(draw: Draw) -> str:
    """Return a person's name: listed or made up, sometimes with an honorific."""
    rng = draw.rng
    first = draw.word("first") if rng.random() < 0.5 else made_up_word(draw)
    last = draw.word("last") if rng.random() < 0.5 else made_up_word(draw)
    first, last = _capitals(first), _capitals(last)
    shape = rng.random()
    if shape < 0.72:
        return f"{first} {last}"
    if shape < 0.84:
        return f"{draw.word('honorific')} {last}"
    return first if shape < 0.94 else f"{first} {made_up_word(draw).capitalize()} {last}"


def _capitals(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def dish(draw: Draw) -> str:
    """Return a dish such as "roast duck" or "pumpkin soup"."""
    shape = draw.rng.random()
    what = draw.word("dish_what")
    if shape < 0.4:
        return f"{draw.word('dish_how')} {what}"
    if shape < 0.8:
        return f"{what} {draw.word('dish_form')}"
    return f"{draw.word('dish_how')} {what} {draw.word('dish_form')}"


def title(draw: Draw) -> str:
    """Return a song title in capitals."""
    shape = draw.rng.random()
    if shape < 0.15:
        return f"{made_up_word(draw).capitalize()} {draw.word('title_b')}"
    head = f"{draw.word('title_a')} {draw.word('title_b')}"
    return head if shape < 0.6 else f"{head} {draw.word('title_c')}"


def artist(draw: Draw) -> str:
    """Return a performer: a person or an ensemble."""
    if draw.rng.random() < 0.5:
        return person(draw)
    return f"The {made_up_word(draw).capitalize()} {draw.word('ensemble')}"


def clock(draw: Draw) -> str:
    """Return a time of day as HH:MM."""
    return f"{draw.rng.randrange(8, 24):02d}:{draw.rng.randrange(0, 60, 5):02d}"


VALUES: Mapping[str, Callable[[Draw], Value]] = {
    "person": person,
    "dish": dish,
    "title": title,
    "artist": artist,
    "time": clock,
    "drink": lambda draw: draw.word("drink"),
    "room": lambda draw: draw.word("room"),
    "place": lambda draw: draw.word("place"),
    "reason": lambda draw: draw.word("reason"),
    "wish": lambda draw: draw.word("wish"),
    "chore": lambda draw: f"{draw.word('verb')} {draw.word('thing')}",
    "news": lambda draw: f"{draw.word('news_who')} {draw.word('news_what')}",
    "table": lambda draw: draw.rng.randrange(1, 41),
    "count": lambda draw: draw.rng.randrange(2, 10),
    "percent": lambda draw: draw.rng.randrange(0, 101, 5),
    "number": lambda draw: draw.rng.randrange(100, 1000),
}


def value_of(parameter: Parameter, draw: Draw) -> Value:
    """Return a value of the parameter's kind."""
    if parameter.kind == "enum":
        return draw.rng.choice(parameter.values)
    return VALUES[parameter.kind](draw)


def spoken(value: Value, kind: str, rng: random.Random) -> str:
    """Return the value as a person would say it: small counts are sometimes words."""
    is_small = kind == "count" and isinstance(value, int) and value < len(COUNT_WORDS)
    return COUNT_WORDS[int(value)] if is_small and rng.random() < 0.3 else str(value)


def slots_of(phrasing: str) -> Sequence[str]:
    """Return the parameter keys that a phrasing mentions, in order."""
    return [part.split("}")[0] for part in phrasing.split("{")[1:]]
