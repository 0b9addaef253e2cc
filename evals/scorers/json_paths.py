"""Paths into a JSON answer: `courses[].ingredients[]` is every ingredient of every course."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import InputError
from core.messages import JsonValue

MAX_STEPS = 20


@dataclass(frozen=True, slots=True)
class JsonPath:
    """Which values of a document are meant."""

    text: str
    steps: tuple[str | None, ...]
    """Names of members; None: every item of a list."""

    def values(self, document: JsonValue) -> list[JsonValue] | None:
        """Return the values in order; None where the path leads nowhere in any place.

        A list without items has no values, and that is not nowhere.
        """
        found = [document]
        for step in self.steps:
            if step is None:
                if not all(isinstance(value, list) for value in found):
                    return None
                found = [item for value in found if isinstance(value, list) for item in value]
            else:
                if not all(isinstance(value, dict) and step in value for value in found):
                    return None
                found = [value[step] for value in found if isinstance(value, dict)]
        return found


def read_path(value: object) -> JsonPath:
    """Return the path that a text stands for; an empty text is the whole document.

    Names are separated by dots; `[]` after a name, or alone, means every item. A member whose
    name holds a dot or brackets can't be named.

    Raises:
        InputError: it is no such text.
    """
    if not isinstance(value, str):
        raise InputError(f"a path must be a text such as 'courses[].name', got {value!r}")
    steps: list[str | None] = []
    for part in value.split(".") if value else ():
        name = part.rstrip("[]")
        items, rest = divmod(len(part) - len(name), 2)
        if "[" in name or "]" in name or part != name + "[]" * items or rest or not part:
            raise InputError(f"the path {value!r} can't be read; write 'a.b', 'a[].b' or '[].a'")
        steps += [name] * bool(name) + [None] * items
    if len(steps) > MAX_STEPS:
        raise InputError(f"the path {value[:60]!r} has more than {MAX_STEPS} steps")
    return JsonPath(value, tuple(steps))


def values_at(paths: Sequence[JsonPath], document: JsonValue) -> list[JsonValue] | None:
    """Return what several paths lead to, together; None where one leads nowhere or to nothing."""
    found: list[JsonValue] = []
    for path in paths:
        values = path.values(document)
        if not values:
            return None
        found += values
    return found
