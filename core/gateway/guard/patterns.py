"""Patterns of a caller's JSON Schema, run so that none can hang the server.

The engine is Rust's `regex` inside of pydantic: it takes time linear in the text, where Python's
`re` takes for ever on `^(a+)+$`. The price: no look-around and no back-references. Both factors
that remain, the pattern's states and the text's length, are bounded.
"""

import re
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from core.errors import InputError

MAX_PATTERN_CHARACTERS = 200
MAX_STATES = 1000
"""Bound on a pattern written out without counts, in characters: `(ab{9}){9}` has 90."""
ALPHABET_STATES = 20
"""States of a class of all alphabets, such as `\\p{L}`."""
MAX_TEXT_CHARACTERS = 10_000

TOKEN = re.compile(
    r"(?P<escape>\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[pP]\{[^}]*\}|.))"
    r"|(?P<count>\{(?P<low>[0-9]+)(?P<rest>,(?P<high>[0-9]*))?\})"
    r"|(?P<other>.)",
    re.DOTALL,
)
ASCII_CLASSES = {
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
}
"""What ECMA-262, which JSON Schema refers to, means by them."""


class Pattern:
    """One pattern, found anywhere in a text."""

    def __init__(self, source: str) -> None:
        """Compile the pattern.

        Raises:
            InputError: it is too long, repeats too much, or is not understood.
        """
        if len(source) > MAX_PATTERN_CHARACTERS:
            raise InputError(
                f"the pattern {source[:40]!r}... has {len(source)} characters, at most "
                f"{MAX_PATTERN_CHARACTERS} are allowed"
            )
        self.states = _states(source)
        """The pattern's size; matching takes time in proportion to it and the text's length."""
        if self.states > MAX_STATES:
            raise InputError(f"the pattern {source!r} repeats too much; use smaller counts")
        rust = TOKEN.sub(lambda token: ASCII_CLASSES.get(token[0], token[0]), source)
        try:
            self._adapter = TypeAdapter(Annotated[str, StringConstraints(pattern=rust)])
        except SchemaError as error:
            raise InputError(
                f"the pattern {source!r} can't be used (look-around and back-references are not "
                f"supported): {str(error).splitlines()[-1].strip()}"
            ) from error

    def is_in(self, text: str) -> bool:
        """Say whether the pattern matches; False for texts of more than 10,000 characters."""
        if len(text) > MAX_TEXT_CHARACTERS:
            return False
        try:
            self._adapter.validate_python(text)
        except ValidationError:
            return False
        return True


def _states(source: str) -> int:
    """Return the pattern's size once its counts are written out; brackets count as groups."""
    sums, last = [0], 0
    for token in TOKEN.finditer(source):
        if token["count"]:
            times = int(token["high"] or token["low"])
            sums[-1] += last * (max(times, 1) - 1)
            last *= max(times, 1)
        elif token[0] in ("(", "["):
            sums.append(0)
        elif token[0] in (")", "]") and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        else:
            last = ALPHABET_STATES if token[0].startswith(("\\p", "\\P")) else 1
            sums[-1] += last
    return sum(sums)
