"""Leakage: examples that show what an evaluation asks.

An example leaks if what a person says in it, in any turn, is what an item asks: the same text; 13
words in a row; or a near-duplicate. Its whole conversation (`group`) is then known to the model, so
all of its rows go together. Words of a template, which many items share, don't count.

Source: Brown et al. (2020), Language Models are Few-Shot Learners, appendix C, for the 13 words and
for leaving out what more than ten texts have.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, records
from training.datasets.example import Example
from training.datasets.formats import BFCL, FORMATS, detect, reader_of
from training.datasets.near import NearIndex
from training.datasets.words import asked, folded, words_of

WORDS = 13
TEMPLATE_WORDS = 5
MAX_ITEMS = 10
"""Items that may have the same five words; more than that have them from a template."""
MAX_TEMPLATE = 3
"""Of thirteen words, how many may be a template's."""
LONG_ENOUGH = 8
"""Words from which on a later turn of an item tells by itself which item it is."""


@dataclass(frozen=True, slots=True)
class Leak:
    """An item of an evaluation that an example shows."""

    kind: Literal["exact", "ngram", "near"]
    item: str
    """Id of the item."""


class Leakage:
    """Items of evaluations, against which examples are checked."""

    def __init__(self, items: Iterable[JsonObject]) -> None:
        self._index = NearIndex()
        self._ids: list[str] = []
        self._exact: dict[str, str] = {}
        said = [(str(item.get("id")), text) for item in items for text in self._add(item)]
        self.items = len({name for name, _ in said})
        template = _template(said)
        self._grams: dict[int, str] = {}
        for name, text in said:
            self._grams.update(dict.fromkeys(_own_grams(text, template), name))

    def of(self, example: Example) -> Leak | None:
        """Return which item an example shows, by the surest sign; None: none."""
        said = asked(example.messages)
        for text in _probes(said):
            if name := self._exact.get(folded(text)):
                return Leak("exact", name)
        for text in said:
            grams = _grams(words_of(text), WORDS)
            if name := next(filter(None, map(self._grams.get, grams)), None):
                return Leak("ngram", name)
        for text in said:
            if (number := self._index.like(text)) is not None:
                return Leak("near", self._ids[number])
        return None

    def _add(self, item: JsonObject) -> list[str]:
        """Take an item's texts; return what a person says in it."""
        name, said = str(item.get("id")), _questions(item.get("input"))
        last = [text for text in said[-1:] if len(said) == 1 or _is_long(text)]
        for text in dict.fromkeys(["\n".join(said), *last]) if said else ():
            self._exact.setdefault(folded(text), name)
            self._index.add(text)
            self._ids.append(name)
        return said


def read_items(path: Path) -> Iterator[JsonObject]:
    """Yield the rows `{"id", "input", "target"}` of an evaluation's dataset.

    Rows of any format that can be imported are taken too: what a person says in one is its input.

    Raises:
        InputError: a row is neither.
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
    """
    for record in records(path):
        try:
            if record.problem is not None:
                raise InputError(record.problem)
            yield _item(record, path.name)
        except InputError as error:
            raise InputError(f"{path.name}, {record.place}: {error}") from error


def _item(record: Record, file: str) -> JsonObject:
    """Return a record as an item of an evaluation.

    Raises:
        InputError: it is none, and of no format.
    """
    format = None if "target" in record.value else detect(record.value)
    if format is None:
        if "input" in record.value:
            return record.value
        raise InputError(
            "a row of an evaluation must have id, input and target, or be of one of the formats: "
            f"{', '.join(FORMATS)}"
        )
    texts = _bfcl(record) if format == BFCL else asked(reader_of(format)(record).messages)
    said: list[JsonValue] = [{"role": "user", "content": text} for text in texts]
    name = record.value.get("id")
    return {"id": f"{file}, {record.place}" if name in (None, "") else str(name), "input": said}


def _bfcl(record: Record) -> list[str]:
    """Return what a person says in a row of BFCL's, whose answers stand in another file."""
    turns = record.value["question"]
    parts = turns if isinstance(turns, list) else []
    texts = [text for part in parts for text in _questions(part)]
    if not texts:
        raise InputError("question must be a list of turns, each a list of messages")
    return texts


def _questions(given: JsonValue) -> list[str]:
    """Return what a person says in an item's input, a text or a list of messages."""
    if isinstance(given, str):
        return [given] if given.strip() else []
    turns = given if isinstance(given, list) else []
    return [
        turn["content"]
        for turn in turns
        if isinstance(turn, Mapping)
        and turn.get("role") == "user"
        and isinstance(turn.get("content"), str)
    ]


def _probes(said: list[str]) -> Iterator[str]:
    """Yield each turn by itself, and what was said up to it."""
    yield from said
    for end in range(2, len(said) + 1):
        yield "\n".join(said[:end])


def _is_long(text: str) -> bool:
    return len(words_of(text)) >= LONG_ENOUGH


def _grams(words: Sequence[str], size: int) -> Iterator[int]:
    for start in range(len(words) - size + 1):
        yield hash(tuple(words[start : start + size]))


def _template(said: Sequence[tuple[str, str]]) -> set[int]:
    """Return the runs of five words that more than ten items have."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for name, text in said:
        found[name].update(_grams(words_of(text), TEMPLATE_WORDS))
    counts = Counter(gram for grams in found.values() for gram in grams)
    return {gram for gram, items in counts.items() if items > MAX_ITEMS}


def _own_grams(text: str, template: set[int]) -> Iterator[int]:
    """Yield the runs of thirteen words that are the item's own but for a few."""
    words = words_of(text)
    is_shared = [0] * len(words)
    for start, gram in enumerate(_grams(words, TEMPLATE_WORDS)):
        if gram in template:
            is_shared[start : start + TEMPLATE_WORDS] = [1] * TEMPLATE_WORDS
    for start, gram in enumerate(_grams(words, WORDS)):
        if sum(is_shared[start : start + WORDS]) <= MAX_TEMPLATE:
            yield gram
