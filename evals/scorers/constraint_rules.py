"""Constraints on a JSON answer, each read from its declaration.

A declaration is an object with `kind`, the arguments of its kind, and a `name` if the failure
label should be another than `kind:path`:

    {"kind": "count", "path": P, "exactly": N}    each list at P has so many items; or `min`, `max`
    {"kind": "unique", "paths": [P, ...]}         no value comes twice among all of these
    {"kind": "unique_items", "path": P}           no value comes twice within any list at P
    {"kind": "enum", "path": P, "values": [...]}  each value is one of these
    {"kind": "pattern", "path": P, "pattern": R}  each text matches as a whole
    {"kind": "range", "path": P, "min": A, "max": B}  each number lies there; one bound is enough
    {"kind": "decades", "path": P}                the years are of different decades
    {"kind": "keys", "path": P, "values": [...]}  each object has these members and no other
    {"kind": "includes", "path": P, "values": [...]}  each of these is said by some value
    {"kind": "excludes", "paths": [P, ...], "values": [...]}  none is said by any of all values

A path that leads nowhere, or to no value, breaks the constraint. Texts are compared without case
and with single blanks when repeats are looked for, as whole words in any case for what is said
("braised leek" says "leek"), exactly otherwise; 1 is 1.0 and is not true.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import InputError
from core.gateway.guard.patterns import Pattern
from core.json_text import canonical
from core.messages import JsonValue
from evals.scorers.json_paths import JsonPath, read_path, values_at

BOUNDS = ("min", "max", "exactly")
OF_SEVERAL = ("unique", "excludes")
"""Kinds that take several paths together."""
YEAR = re.compile(r"[12][0-9]{3}")
WORD = re.compile(r"\w+")
Declaration = Mapping[str, JsonValue]
Test = Callable[[Sequence[JsonValue]], bool]
"""Says whether the values, at least one, satisfy a constraint."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One rule that an answer must meet."""

    name: str
    """Failure label."""
    paths: tuple[JsonPath, ...]
    test: Test

    def is_met(self, document: JsonValue) -> bool:
        """Say whether the document meets the rule."""
        values = values_at(self.paths, document)
        return values is not None and self.test(values)


def read_constraint(declaration: JsonValue) -> Constraint:
    """Return the constraint that is declared.

    Raises:
        InputError: the kind is unknown, or its arguments are wrong, missing or too many.
    """
    if not isinstance(declaration, Mapping):
        raise InputError(f"a constraint must be an object, got {str(declaration)[:60]!r}")
    kind = declaration.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"no constraint of kind {kind!r}; choose from: {', '.join(KINDS)}")
    place = "paths" if kind in OF_SEVERAL else "path"
    read, arguments = KINDS[kind]
    unknown = declaration.keys() - {"kind", "name", place, *arguments}
    if unknown:
        raise InputError(f"a {kind} constraint has no {sorted(unknown)[0]!r}")
    paths = _paths(declaration.get(place))
    name = declaration.get("name", f"{kind}:{','.join(path.text for path in paths)}")
    if not isinstance(name, str) or not name:
        raise InputError(f"a constraint's name must be a text, got {name!r}")
    return Constraint(name, paths, read(declaration))


def _paths(value: JsonValue) -> tuple[JsonPath, ...]:
    texts = value if isinstance(value, list | tuple) else [value]
    if not texts:
        raise InputError("a constraint needs at least one path")
    return tuple(map(read_path, texts))


def _count(declaration: Declaration) -> Test:
    low, high = _bounds(declaration)
    return lambda values: all(
        isinstance(value, list) and low <= len(value) <= high for value in values
    )


def _range(declaration: Declaration) -> Test:
    low, high = _bounds(declaration)
    return lambda values: all(_is_between(low, value, high) for value in values)


def _is_between(low: float, value: JsonValue, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _bounds(declaration: Declaration) -> tuple[float, float]:
    """Return the least and the greatest number allowed; infinity where there is no bound."""
    given = {name: declaration[name] for name in BOUNDS if name in declaration}
    for name, value in given.items():
        if not _is_between(-math.inf, value, math.inf):
            raise InputError(f"{name} must be a number, got {value!r}")
    numbers = {name: value for name, value in given.items() if isinstance(value, int | float)}
    exactly = numbers.pop("exactly", None)
    low, high = numbers.get("min", -math.inf), numbers.get("max", math.inf)
    if (exactly is None) == (not numbers) or low > high:
        raise InputError(
            f"a {declaration['kind']} constraint needs min, max or both, with min not above max, "
            f"or a count exactly, got {dict(given)!r}"
        )
    return (low, high) if exactly is None else (exactly, exactly)


def _enum(declaration: Declaration) -> Test:
    allowed = frozenset(map(canonical, _values(declaration)))
    return lambda found: all(canonical(value) in allowed for value in found)


def _keys(declaration: Declaration) -> Test:
    wanted = set(map(canonical, _values(declaration)))
    return lambda found: all(
        isinstance(value, dict) and set(map(canonical, value)) == wanted for value in found
    )


def _includes(declaration: Declaration) -> Test:
    wanted = [_words(value) for value in _values(declaration)]
    return lambda found: all(any(part in text for text in map(_words, found)) for part in wanted)


def _excludes(declaration: Declaration) -> Test:
    barred = [_words(value) for value in _values(declaration)]
    return lambda found: not any(part in text for text in map(_words, found) for part in barred)


def _values(declaration: Declaration) -> list[JsonValue]:
    values = declaration.get("values")
    if not isinstance(values, list | tuple) or not values:
        raise InputError(
            f"the kind {declaration['kind']!r} needs values as a list, got {str(values)[:60]!r}"
        )
    return list(values)


def _words(value: JsonValue) -> str:
    """Return the words of a value with one blank around each."""
    text = value if isinstance(value, str) else canonical(value)
    return f" {' '.join(WORD.findall(text.casefold()))} "


def _pattern(declaration: Declaration) -> Test:
    source = declaration.get("pattern")
    if not isinstance(source, str):
        raise InputError(f"a pattern constraint needs pattern as a text, got {source!r}")
    # Alone first: `a)|(b` would be understood only within the brackets of the anchors.
    Pattern(source)
    whole = Pattern(f"^(?:{source})$")
    return lambda values: all(isinstance(value, str) and whole.is_in(value) for value in values)


def _are_of_different_decades(values: Sequence[JsonValue]) -> bool:
    years = [value if isinstance(value, str) else canonical(value) for value in values]
    if not all(map(YEAR.fullmatch, years)):
        return False
    return len({year[:3] for year in years}) == len(years)


def _have_distinct_items(values: Sequence[JsonValue]) -> bool:
    return all(isinstance(value, list) and _are_distinct(value) for value in values)


def _are_distinct(values: Iterable[JsonValue]) -> bool:
    keys = [_key(value) for value in values]
    return len(set(keys)) == len(keys)


def _key(value: JsonValue) -> str:
    return canonical(" ".join(value.casefold().split()) if isinstance(value, str) else value)


KINDS: Mapping[str, tuple[Callable[[Declaration], Test], tuple[str, ...]]] = {
    "count": (_count, BOUNDS),
    "unique": (lambda _: _are_distinct, ()),
    "unique_items": (lambda _: _have_distinct_items, ()),
    "enum": (_enum, ("values",)),
    "pattern": (_pattern, ("pattern",)),
    "range": (_range, ("min", "max")),
    "decades": (lambda _: _are_of_different_decades, ()),
    "keys": (_keys, ("values",)),
    "includes": (_includes, ("values",)),
    "excludes": (_excludes, ("values",)),
}
"""Kind to what reads its arguments, and their names besides `name` and the path."""
