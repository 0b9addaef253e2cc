"""Whether calls mean what was asked for, and what is wrong where they don't.

Calls are a set: each expected one must be paired with one of its own. Names are equal; every
argument equals the target's, or one of those that it allows; a parameter's default is the same as
leaving it out. Numbers compare by value (5 is 5.0, and neither is true), texts in Unicode's
composed form (NFC) without the white space around them, lists in order, objects in any order.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.messages import JsonObject, JsonValue
from evals.calls import Call

CallFault = Literal[
    "wrong_name",
    "missing_argument",
    "unexpected_argument",
    "wrong_type",
    "wrong_value",
    "invalid_by_schema",
]
SEVERITY: tuple[CallFault, ...] = (
    "invalid_by_schema",
    "wrong_value",
    "wrong_type",
    "unexpected_argument",
    "missing_argument",
    "wrong_name",
)
"""From the call that is nearest to right to the one that is farthest."""
MAX_NORMAL_CHARACTERS = 5000
"""Part of a text that is brought into Unicode's normal form."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The values that an argument may have."""

    values: tuple[JsonValue, ...] = field(hash=False)
    is_optional: bool = False
    """Whether the argument may be left out."""
    is_keyed: bool = False
    """Whether each key of an allowed object holds a list of allowed values, as in BFCL."""

    def fault(self, value: JsonValue) -> CallFault | None:
        """Return what is wrong with a value."""
        if any(self._allows(value, allowed) for allowed in self.values):
            return None
        kinds = {_kind(allowed) for allowed in self.values}
        return "wrong_value" if _kind(value) in kinds else "wrong_type"

    def example(self) -> JsonValue:
        """Return the first allowed value."""
        return _plain(self.values[0]) if self.is_keyed else self.values[0]

    def _allows(self, value: JsonValue, allowed: JsonValue) -> bool:
        if self.is_keyed and isinstance(allowed, Mapping):
            return _matches_keyed(value, allowed)
        if self.is_keyed and isinstance(allowed, list) and isinstance(value, list):
            pairs = zip(value, allowed, strict=False)
            return len(value) == len(allowed) and all(self._allows(a, b) for a, b in pairs)
        return is_equal(value, allowed)


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """One call of a target."""

    name: str
    arguments: Mapping[str, Allowed] = field(hash=False)
    defaults: JsonObject = field(default_factory=dict, hash=False)
    """Defaults of the tool's parameters."""

    def fault(self, call: Call, is_valid: Callable[[Call], bool]) -> CallFault | None:
        """Return what is wrong with a call; `is_valid` is asked last, for the tool's schema."""
        if call.name != self.name:
            return "wrong_name"
        faults = [fault for fault in self._argument_faults(call) if fault]
        if faults:
            return max(faults, key=SEVERITY.index)
        return None if is_valid(call) else "invalid_by_schema"

    def example(self) -> Call:
        """Return a call that is right."""
        arguments = {name: each.example() for name, each in self.arguments.items() if each.values}
        return Call(self.name, arguments)

    def _argument_faults(self, call: Call) -> list[CallFault | None]:
        missing = [name for name in self.arguments if name not in call.arguments]
        faults: list[CallFault | None] = [self._missing_fault(name) for name in missing]
        for name, value in call.arguments.items():
            if name in self.defaults and self._is_default(name, value):
                continue
            allowed = self.arguments.get(name)
            is_foreign = allowed is None or not allowed.values
            faults.append(
                "unexpected_argument" if is_foreign else self.arguments[name].fault(value)
            )
        return faults

    def _missing_fault(self, name: str) -> CallFault | None:
        allowed = self.arguments[name]
        if allowed.is_optional:
            return None
        has_default = name in self.defaults and allowed.fault(self.defaults[name]) is None
        return None if has_default else "missing_argument"

    def _is_default(self, name: str, value: JsonValue) -> bool:
        """Say whether the value is the default, and the argument may be left out."""
        may_be_missing = name not in self.arguments or self.arguments[name].is_optional
        return may_be_missing and is_equal(value, self.defaults[name])


def is_equal(one: JsonValue, other: JsonValue) -> bool:
    """Say whether two JSON values mean the same."""
    if isinstance(one, str) and isinstance(other, str):
        return _is_same_text(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_equal(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(is_equal(a, b) for a, b in pairs)
    return _kind(one) == _kind(other) and one == other


def matching(fits: Sequence[Sequence[bool]]) -> dict[int, int]:
    """Return the largest pairing of rows with columns that fit, column to row.

    Source: Kuhn's augmenting paths.
    """
    row_of: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, is_fit in enumerate(fits[row]):
            if is_fit and column not in tried:
                tried.add(column)
                if column not in row_of or place(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    for row in range(len(fits)):
        place(row, set())
    return row_of


def _matches_keyed(value: JsonValue, allowed: JsonObject) -> bool:
    if not isinstance(value, Mapping) or value.keys() - allowed.keys():
        return False
    for key, values in allowed.items():
        choices = values if isinstance(values, list) else [values]
        if key not in value and "" in choices:
            continue
        given = [choice for choice in choices if choice != ""]
        if key not in value or not any(is_equal(value[key], choice) for choice in given):
            return False
    return True


def _plain(allowed: JsonValue) -> JsonValue:
    """Return an allowed value of BFCL as it stands in a call."""
    if isinstance(allowed, Mapping):
        first = {key: _first(values) for key, values in allowed.items()}
        return {key: value for key, value in first.items() if value != ""}
    if isinstance(allowed, list):
        return [_plain(item) for item in allowed]
    return allowed


def _first(values: JsonValue) -> JsonValue:
    choices = values if isinstance(values, list) else [values]
    return next((choice for choice in choices if choice != ""), "")


def _is_same_text(one: str, other: str) -> bool:
    one, other = one.strip(), other.strip()
    # Normal forms differ in length by less than that; of long texts they take quadratic time.
    if max(len(one), len(other)) > 4 * min(len(one), len(other)):
        return False
    return one == other or _normal(one) == _normal(other)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text[:MAX_NORMAL_CHARACTERS]) + text[MAX_NORMAL_CHARACTERS:]


def _kind(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    for kind, name in ((str, "string"), (Mapping, "object"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "null"
