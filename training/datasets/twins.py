"""Duplicates, near-duplicates and contradictions among the rows of one dataset.

Each is a row that has its like among the rows before it, so a pair counts once and a row that
stands there three times counts twice.

- duplicate: the same turns, tools and label, to the letter;
- contradiction: the same prompt, system turns and tools included, but another answer; of thumbs,
  the same answer with the other label; of pairs, the same answers the other way round. Two good
  answers contradict each other as little as two pairs with an answer in common do;
- near-duplicate: neither, but system turns, tools and label are the same, and the rest of the
  prompt and the answer, of a pair both answers, are near-duplicates of an earlier row's.

In memory a row takes some 700 bytes, whatever its length; the texts wait in a file.
"""

import tempfile
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np

from core.json_text import canonical
from training.datasets.example import Example
from training.datasets.minhash import MinHash
from training.datasets.near import MAX_COMPARED, is_near, near_keys, short
from training.datasets.words import answer_text, folded, prompt_text, turns_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

BETWEEN = "\x1e"
"""Stands between prompt and answers in a text that is kept."""
ANY = 0
"""Stands for a row that any other answer contradicts."""
TwinKind = Literal["duplicate", "near_duplicate", "contradiction"]


@dataclass(frozen=True, slots=True)
class Twin:
    """An earlier row that a row is like."""

    kind: TwinKind
    row: int
    """Number of the earlier row, from 0."""


class Twins:
    """Takes rows one by one; knows at the end which are like earlier ones."""

    def __init__(self) -> None:
        self._minhash = MinHash()
        self._whole, self._prompts, self._frames = array("Q"), array("Q"), array("Q")
        self._answers, self._opposites = array("Q"), array("Q")
        self._keys = array("Q")
        self._texts = _Texts()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._texts.close()

    def add(self, example: Example) -> None:
        """Take the next row."""
        parts = [part.replace(BETWEEN, " ") for part in _parts(example)]
        text = BETWEEN.join(parts)
        letters = _letters(example)
        given = folded(turns_text(example.prompt)) + _tools(example)
        said, opposite = _said(example, [folded(part) for part in parts[1:]])
        # What teaches nothing says nothing that another row could repeat or contradict.
        self._whole.append(short(letters))
        self._prompts.append(short(given if example.learnt else letters))
        self._frames.append(short(_frame(example) if example.learnt else letters))
        self._answers.append(short(said))
        self._opposites.append(ANY if opposite is None else short(opposite))
        self._keys.frombytes(near_keys(self._minhash, text).tobytes())
        self._texts.add(text)

    def found(self) -> dict[int, Twin]:
        """Return the rows that are like an earlier one, by number from 0."""
        twins: dict[int, Twin] = {}
        if not self._whole:
            return twins
        for row, first in enumerate(_firsts(self._whole).tolist()):
            if first != row:
                twins[row] = Twin("duplicate", first)
        self._same_prompts(twins)
        self._near(twins)
        return twins

    def _same_prompts(self, twins: dict[int, Twin]) -> None:
        """Find the rows whose prompt stands before: the opposite answer contradicts."""
        firsts = _firsts(self._prompts)
        said: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for row in np.flatnonzero(np.bincount(firsts)[firsts] > 1).tolist():
            if row in twins:
                continue
            answers, mine = said[int(firsts[row])], self._answers[row]
            if mine in answers:
                twins[row] = Twin("near_duplicate", answers[mine])
                continue
            opposite = self._opposites[row]
            other = next(iter(answers.values()), None) if opposite == ANY else answers.get(opposite)
            if other is not None:
                twins[row] = Twin("contradiction", other)
            answers[mine] = row

    def _near(self, twins: dict[int, Twin]) -> None:
        bands = _Bands(np.frombuffer(self._keys, dtype=np.uint64).reshape(len(self._whole), -1))
        known = set(twins)
        for row in range(len(self._whole)):
            if row in known:
                continue
            for other in bands.likeliest(row, known):
                if self._are_near(row, other):
                    twins[row] = Twin("near_duplicate", other)
                    break

    def _are_near(self, row: int, other: int) -> bool:
        if self._frames[row] != self._frames[other]:
            return False
        mine, theirs = (self._texts.of(each).split(BETWEEN) for each in (row, other))
        return len(mine) == len(theirs) and all(map(is_near, mine, theirs))


class _Bands:
    """Which earlier rows share keys with a row."""

    def __init__(self, keys: "NDArray[np.uint64]") -> None:
        columns = [_ranked(column) for column in keys.T]
        self._order = [column.order for column in columns]
        self._rank = np.stack([column.rank for column in columns], axis=1)
        self._first = np.stack([column.first for column in columns], axis=1)

    def likeliest(self, row: int, left_out: AbstractSet[int]) -> Iterator[int]:
        """Yield earlier rows, those that share the most keys first."""
        shared: Counter[int] = Counter()
        for band in np.flatnonzero(self._rank[row] > self._first[row]).tolist():
            end = self._rank[row, band]
            start = max(self._first[row, band], end - MAX_COMPARED)
            # The last key is that of the whole text: nothing is likelier.
            weight = len(self._order) if band == len(self._order) - 1 else 1
            for number in self._order[band][start:end].tolist():
                shared[number] += weight
        for number, _ in shared.most_common(MAX_COMPARED):
            if number not in left_out:
                yield number


class _Ranked(NamedTuple):
    """One band of keys, sorted; rows with the same key are neighbours, in their own order."""

    order: "NDArray[np.int32]"
    """Rows by key."""
    rank: "NDArray[np.int32]"
    """Place of each row in `order`."""
    first: "NDArray[np.int32]"
    """Place of the first row with the same key."""


def _ranked(keys: "NDArray[np.uint64]") -> _Ranked:
    order = np.argsort(keys, kind="stable").astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    is_new = np.append(True, np.diff(keys[order]) != 0)
    starts = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))
    return _Ranked(order, rank, starts[rank].astype(np.int32))


class _Texts:
    """Texts in a file that is gone with the process."""

    def __init__(self) -> None:
        self._ends = array("q", [0])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`

    def add(self, text: str) -> None:
        self._file.seek(self._ends[-1])
        self._ends.append(self._ends[-1] + self._file.write(text.encode("utf-8", "replace")))

    def of(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        return self._file.read(end - start).decode("utf-8")

    def close(self) -> None:
        self._file.close()


def _firsts(values: "array[int]") -> "NDArray[np.int64]":
    """Return for each value where it stands first."""
    _, first, inverse = np.unique(
        np.frombuffer(values, dtype=np.uint64), return_index=True, return_inverse=True
    )
    places: NDArray[np.int64] = first[inverse]
    return places


def _parts(example: Example) -> list[str]:
    """Return the prompt without the system's turns, the answer, and of a pair the worse answer."""
    answers = [answer_text(example)]
    if example.kind == "preference":
        answers.append(answer_text(example.worse))
    return [prompt_text(example), *answers]


def _frame(example: Example) -> str:
    """Return what must be the same of near-duplicates: system turns, tools, label."""
    system = turns_text([turn for turn in example.prompt if turn.role == "system"])
    return canonical([folded(system), _tools(example), example.label])


def _said(example: Example, answers: list[str]) -> tuple[str, str | None]:
    """Return what a row says to its prompt, and what would contradict it; None: all else."""
    if example.kind == "preference":
        return BETWEEN.join(answers), BETWEEN.join(reversed(answers))
    if example.kind == "unpaired":
        return f"{example.label}{BETWEEN}{answers[0]}", f"{not example.label}{BETWEEN}{answers[0]}"
    return answers[0], None


def _letters(example: Example) -> str:
    turns = [turns_text(example.messages), turns_text(example.chosen), turns_text(example.rejected)]
    return canonical([*turns, example.label, _tools(example)])


def _tools(example: Example) -> str:
    return canonical([tool.to_openai() for tool in example.tools]) if example.tools else ""
