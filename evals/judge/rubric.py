"""Rubrics: what a judge is told, what is marked without it, and the anchors it must agree with.

`rubric_files.py` reads them. A rubric whose anchors can't tell a judge from a constant answer is
refused.
"""

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

from core.errors import InputError
from core.json_text import canonical

STRICT = ConfigDict(extra="forbid")
BEST_MARK = 2
"""Marks of a dimension run from 0 to this."""
FEWEST_ANCHORS = 3
FEWEST_CALLS, MOST_CALLS = 2, 7
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
Condition = Literal["empty", "meta_language", "length", "refusal", "pattern"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that an answer is marked for."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    description: str
    marks: tuple[str, str, str]
    """What 0, 1 and 2 mean."""


@dataclass(frozen=True, slots=True)
class Zero:
    """A condition that gives 0 without asking the judge."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    when: Condition
    dimensions: tuple[str, ...] = ()
    """Dimensions that get 0; none named: all of them."""
    low: int = 0
    """For `length`: fewest characters that are not zero."""
    high: int | None = None
    """For `length`: most characters that are not zero; None: any."""
    pattern: str = ""
    """For `pattern`: an ECMA-262 pattern without look-around, found anywhere in the answer."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """An answer whose marks people agreed on."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    question: str
    answer: str
    marks: Mapping[str, int] = field(hash=False)
    """Dimension to the expected mark, 0 to 2; every dimension is named."""


@dataclass(frozen=True, slots=True)
class Rubric:
    """One rubric file."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    instructions: str
    dimensions: tuple[Dimension, ...]
    anchors: tuple[Anchor, ...]
    agreement: float
    """Share of the anchors' marks that the judge must give exactly, above 0.0 to 1.0."""
    pass_mark: float
    """Mark of the whole answer from which it counts as good, above 0.0 to 1.0."""
    calls: int = FEWEST_CALLS
    """Calls for each answer, 2 to 7; one more where they disagree."""
    zeros: tuple[Zero, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        names = self.names
        if not NAME.fullmatch(self.name):
            raise InputError(
                f"name must be lower-case letters, digits, '-' and '_', got {self.name[:80]!r}"
            )
        self._check_dimensions(names)
        if not 0.0 < self.agreement <= 1.0 or not 0.0 < self.pass_mark <= 1.0:
            raise InputError("agreement and pass_mark must be above 0.0 and at most 1.0")
        if not FEWEST_CALLS <= self.calls <= MOST_CALLS:
            raise InputError(f"calls must be {FEWEST_CALLS} to {MOST_CALLS}, got {self.calls}")
        for zero in self.zeros:
            _check_zero(zero, names)
        for number, anchor in enumerate(self.anchors, 1):
            _check_anchor(number, anchor, names)
        self._check_anchors_tell()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the dimensions, in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def digest(self) -> str:
        """Return `sha256:...` of everything that the rubric says."""
        return f"sha256:{hashlib.sha256(canonical(asdict(self)).encode()).hexdigest()}"

    def mark(self, marks: Mapping[str, int]) -> float:
        """Return the mark of a whole answer: the sum over all that can be had, 0.0 to 1.0."""
        return sum(marks[name] for name in self.names) / (BEST_MARK * len(self.dimensions))

    def _check_dimensions(self, names: Sequence[str]) -> None:
        if not names or len(set(names)) < len(names):
            raise InputError("a rubric needs at least one dimension, and each name only once")
        for name in names:
            if not (name.isidentifier() and name.islower()) or name in ("reason", "pass"):
                raise InputError(
                    f"the dimension {name!r} must be a name in lower case such as 'coherence', "
                    "and neither 'reason' nor 'pass'"
                )

    def _check_anchors_tell(self) -> None:
        if len(self.anchors) < FEWEST_ANCHORS:
            raise InputError(
                f"a rubric needs at least {FEWEST_ANCHORS} anchors, got {len(self.anchors)}"
            )
        floor = constant_agreement(self.names, self.anchors)
        if floor >= self.agreement:
            raise InputError(
                f"a judge that always gives each dimension's commonest mark agrees with {floor:.2f}"
                f" of the anchors' marks, and {self.agreement:.2f} is asked for; raise agreement "
                "or add anchors with other marks"
            )


def constant_agreement(names: Sequence[str], anchors: Sequence[Anchor]) -> float:
    """Return the largest share of the anchors' marks that constant marks agree with."""
    agreed = sum(
        Counter(anchor.marks[name] for anchor in anchors).most_common(1)[0][1] for name in names
    )
    return agreed / (len(names) * len(anchors))


def _check_zero(zero: Zero, names: Sequence[str]) -> None:
    for name in zero.dimensions:
        if name not in names:
            raise InputError(f"zeros: unknown dimension {name!r}{meant(name, names)}")
    has_band = zero.low != 0 or zero.high is not None
    if has_band != (zero.when == "length") or bool(zero.pattern) != (zero.when == "pattern"):
        raise InputError(
            f"zeros: {zero.when!r}: low and high belong to 'length', pattern to 'pattern', "
            "and are needed there"
        )
    if zero.low < 0 or (zero.high is not None and zero.high < zero.low):
        raise InputError(f"zeros: 0 <= low <= high is needed, got {zero.low} and {zero.high}")
    if zero.pattern:
        from core.gateway.guard.patterns import Pattern

        Pattern(zero.pattern)


def _check_anchor(number: int, anchor: Anchor, names: Sequence[str]) -> None:
    for name in anchor.marks:
        if name not in names:
            raise InputError(f"anchor {number}: unknown dimension {name!r}{meant(name, names)}")
    missing = [name for name in names if name not in anchor.marks]
    wrong = [mark for mark in anchor.marks.values() if not 0 <= mark <= BEST_MARK]
    if missing or wrong:
        raise InputError(
            f"anchor {number}: every dimension needs a mark from 0 to {BEST_MARK}; "
            f"missing: {missing}, out of range: {wrong}"
        )


def meant(name: str, known: Sequence[str]) -> str:
    """Return what a misspelt name was meant to be, as the end of a sentence."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
