"""BFCL's comparison of one argument with what is allowed: first its Python type, then its value.

Follows `type_checker` and the checkers below it in `ast_checker.py` of bfcl-eval 2026.3.23
(Apache-2.0) bug for bug: types are compared without subclasses, lists only one level deep,
and where the official checker crashes, ours raises `CheckerCrashError`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.messages import JsonValue

TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
NESTED = ("array", "tuple")
DROPPED = re.compile(r"[ ,./\-_*^]")

ValueFault = Literal["type_error", "value_error"]


class CheckerCrashError(Exception):
    """The official checker ends with an exception here; the text says of what kind."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as BFCL describes it."""

    declared: str
    """Key of `TYPES`."""
    inner: type | None
    """Type of the items of an array or a tuple."""


def value_fault(
    value: object, allowed: Sequence[JsonValue], parameter: Parameter
) -> ValueFault | None:
    """Return what is wrong with an argument; None: nothing.

    Raises:
        CheckerCrashError: the official checker crashes.
    """
    value = _coerced(value, parameter)
    outer = TYPES[parameter.declared]
    hinted = _hinted_type(allowed)
    if type(value) is outer:
        if parameter.inner is not None and not _has_inner_type(value, allowed, parameter.inner):
            return "type_error"
        is_variable = hinted not in (None, outer)
    elif hinted is not None and type(value) is hinted:
        is_variable = True
    else:
        return "type_error"
    is_allowed = value in allowed if is_variable else _is_allowed(value, allowed, parameter)
    return None if is_allowed else "value_error"


def standardised(text: str) -> str:
    """Return a text as BFCL compares it: without ` ,./-_*^`, lower case, one kind of quotes."""
    return DROPPED.sub("", text).lower().replace("'", '"')


def _coerced(value: object, parameter: Parameter) -> object:
    if parameter.declared == "tuple" and type(value) is tuple:
        return list(value)
    if parameter.declared == "float" and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise CheckerCrashError("an integer is too large for a float") from error
    return value


def _hinted_type(allowed: object) -> type | None:
    """Return the type of the first allowed value that is no mark of omission.

    Where it differs from the parameter's, the value is a variable's name, says BFCL.
    """
    items = allowed if isinstance(allowed, list | tuple) else ()
    return next((type(item) for item in items if item != ""), None)


def _has_inner_type(value: object, allowed: Sequence[JsonValue], inner: type) -> bool:
    """Say whether the items have the type; any answer that is no list lets all items pass."""
    items = value if isinstance(value, list) else []
    for answer in allowed:
        types = (inner, _hinted_type(answer))
        if not isinstance(answer, list) or all(type(item) in types for item in items):
            return True
    return False


def _is_allowed(value: object, allowed: Sequence[JsonValue], parameter: Parameter) -> bool:
    if isinstance(value, dict):
        return _is_allowed_dict(value, allowed)
    if isinstance(value, list) and parameter.inner is dict:
        return any(_are_allowed_dicts(value, answer) for answer in allowed)
    if isinstance(value, str):
        texts = [standardised(answer) for answer in allowed if isinstance(answer, str)]
        return standardised(value) in texts
    if isinstance(value, list):
        return _standard(value) in [_standard_answer(answer) for answer in allowed]
    return value in allowed


def _standard(values: Sequence[object]) -> list[object]:
    return [standardised(value) if isinstance(value, str) else value for value in values]


def _standard_answer(answer: JsonValue) -> list[object]:
    """Return an allowed list; the mark of omission is a text, so it becomes an empty one."""
    if isinstance(answer, list | str):
        return _standard(answer)
    raise CheckerCrashError("an allowed value of a list is no list")


def _are_allowed_dicts(values: list[object], answer: JsonValue) -> bool:
    items = answer if isinstance(answer, list | str) else None
    if items is None:
        raise CheckerCrashError("an allowed value of a list is no list")
    if len(values) != len(items):
        return False
    return all(_is_allowed_dict(value, [item]) for value, item in zip(values, items, strict=True))


def _is_allowed_dict(value: object, allowed: Sequence[JsonValue]) -> bool:
    for answer in allowed:
        if answer == "":
            continue
        if not isinstance(value, dict):
            raise CheckerCrashError("a list of dictionaries holds something else")
        if not isinstance(answer, dict):
            raise CheckerCrashError("an allowed value of a dictionary is none")
        if _matches(value, answer):
            return True
    return False


def _matches(value: dict[object, object], answer: Mapping[str, JsonValue]) -> bool:
    for key, item in value.items():
        if not isinstance(key, str) or key not in answer:
            return False
        plain = standardised(item) if isinstance(item, str) else item
        if plain not in _standard(_alternatives(answer[key])):
            return False
    missing = [key for key in answer if key not in value]
    return all("" in _alternatives(answer[key]) for key in missing)


def _alternatives(values: JsonValue) -> Sequence[JsonValue]:
    if isinstance(values, list | str):
        return values
    raise CheckerCrashError("the allowed values of a key are no list")
