"""One instruction of an IFEval prompt, and the texts that it asks about read as safe patterns."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from core.errors import ScoringError
from core.messages import JsonObject, JsonValue

Check = Callable[[str], bool]
"""Says whether an answer follows one instruction."""
Relation = Literal["less than", "at least"]

ESCAPES = re.compile(r"\\.", re.DOTALL)
REPEATING = frozenset("*+{}[]()")
MAX_BRANCHES = 4
"""Signs that double what a pattern may try: `?` and `|`."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a prompt asks for; the readers refuse what a check could not be built from."""

    id: str
    arguments: JsonObject = field(hash=False)
    """As in IFEval's `kwargs`; null, zero and empty ones count as absent, as in lm-eval."""

    def number(self, name: str) -> float:
        """Return an argument that is a number above 0.

        Raises:
            ScoringError: it is none; the original would draw one at random.
        """
        value = self.arguments.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return value
        raise self._unusable(name, value, "a number above 0")

    def text(self, name: str) -> str:
        """Return an argument that is a text, not empty.

        Raises:
            ScoringError: it is none.
        """
        value = self.arguments.get(name)
        if isinstance(value, str) and value:
            return value
        raise self._unusable(name, value, "a text")

    def texts(self, name: str) -> list[str]:
        """Return an argument that is a list of texts, not empty.

        Raises:
            ScoringError: it is none.
        """
        value = self.arguments.get(name)
        texts = value if isinstance(value, list | tuple) else ()
        found = [text for text in texts if isinstance(text, str)]
        if found and len(found) == len(texts):
            return found
        raise self._unusable(name, value, "a list of texts")

    def compares(self, name: str, limit: str) -> Callable[[int], bool]:
        """Return the comparison of a count with the argument `limit`.

        Raises:
            ScoringError: the argument `name` is neither "less than" nor "at least".
        """
        relation, number = self.arguments.get(name), self.number(limit)
        if relation == "less than":
            return lambda count: count < number
        if relation == "at least":
            return lambda count: count >= number
        raise self._unusable(name, relation, "'less than' or 'at least'")

    def _unusable(self, name: str, value: JsonValue, wanted: str) -> ScoringError:
        return ScoringError(f"{self.id!r} needs {name} as {wanted}, got {str(value)[:80]!r}")


def pattern_of(text: str) -> str:
    """Return a keyword as the source of a pattern that takes time linear in the answer.

    lm-eval reads keywords as regular expressions. So do we, but for those that repeat, bracket
    or don't compile: such a keyword stands for itself, and `C++` is found where it is written.
    """
    bare = ESCAPES.sub("", text)
    if REPEATING & set(bare) or sum(map(bare.count, "?|")) > MAX_BRANCHES:
        return re.escape(text)
    try:
        re.compile(text)
    except re.error:
        return re.escape(text)
    return text
