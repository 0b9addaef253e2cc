"""BFCL's verdict on decoded calls, for its single-turn Python categories, bug for bug.

Follows `ast_checker` and `_evaluate_single_relevance_entry` of bfcl-eval 2026.3.23 (Apache-2.0).
Among parallel calls each expected one takes the first unused call that fits, even where another
order would fit them all. Where the official checker crashes, the answer is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.errors import ScoringError
from core.messages import JsonValue
from core.rows.bfcl import CATEGORIES
from evals.scorers.bfcl_decode import DecodedCall
from evals.scorers.bfcl_values import NESTED, TYPES, CheckerCrashError, Parameter, value_fault

Fault = Literal[
    "undecodable",
    "wrong_count",
    "wrong_name",
    "missing_required",
    "unexpected_parameter",
    "type_error",
    "value_error",
    "missing_optional",
    "no_match",
    "needless_call",
    "crash",
]
"""What BFCL finds wrong first; `no_match`: an expected parallel call fits none of the calls."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as BFCL describes it."""

    name: str
    parameters: Mapping[str, Parameter] = field(hash=False)
    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PossibleAnswer:
    """A call that BFCL expects, with the values that it allows for each argument."""

    name: str
    allowed: Mapping[str, Sequence[JsonValue]] = field(hash=False)
    """`""` among the values: the argument may be left out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One test of BFCL."""

    category: str
    functions: tuple[Function, ...]
    expected: tuple[PossibleAnswer, ...]

    def fault(self, calls: Sequence[DecodedCall] | None) -> Fault | None:
        """Return what is wrong with the decoded calls (None: undecodable); None: nothing."""
        if "irrelevance" in self.category:
            return "needless_call" if calls else None
        if calls is None:
            return "undecodable"
        try:
            if "parallel" in self.category:
                return self._parallel_fault(calls)
            return self._single_fault(calls)
        except CheckerCrashError:
            return "crash"

    def _single_fault(self, calls: Sequence[DecodedCall]) -> Fault | None:
        if len(calls) != 1:
            return "wrong_count"
        expected = self.expected[0]
        is_multiple = "multiple" in self.category
        function = self._function(expected.name) if is_multiple else self.functions[0]
        return call_fault(calls[0], expected, function)

    def _parallel_fault(self, calls: Sequence[DecodedCall]) -> Fault | None:
        if len(calls) != len(self.expected):
            return "wrong_count"
        unused = list(calls)
        for expected in self.expected:
            function = self._function(expected.name)
            for place, call in enumerate(unused):
                if call_fault(call, expected, function) is None:
                    del unused[place]
                    break
            else:
                return "no_match"
        return None

    def _function(self, name: str) -> Function:
        return next(function for function in self.functions if function.name == name)


def call_fault(call: DecodedCall, expected: PossibleAnswer, function: Function) -> Fault | None:
    """Return what BFCL finds wrong with one call; None: nothing.

    Raises:
        CheckerCrashError: the official checker crashes.
    """
    if call.name != function.name:
        return "wrong_name"
    if any(name not in call.arguments for name in function.required):
        return "missing_required"
    for name, value in call.arguments.items():
        if fault := _argument_fault(name, value, expected, function):
            return fault
    for name, allowed in expected.allowed.items():
        if name not in call.arguments and "" not in allowed:
            return "missing_optional"
    return None


def _argument_fault(
    name: object, value: object, expected: PossibleAnswer, function: Function
) -> Fault | None:
    if not isinstance(name, str):
        return "unexpected_parameter"
    parameter, allowed = function.parameters.get(name), expected.allowed.get(name)
    if parameter is None or allowed is None:
        return "unexpected_parameter"
    return value_fault(value, allowed, parameter)


def entry_of(
    category: JsonValue, functions: JsonValue, expected: Sequence[PossibleAnswer], has_dots: bool
) -> Entry:
    """Read one test; without `has_dots` names are compared with `_` in place of `.`.

    The official checker does the one or the other by the model that answered.

    Raises:
        ScoringError: the category is another, a function is none of BFCL's, or an expected call
            is of no function.
    """
    if not isinstance(category, str) or category.removeprefix("live_") not in CATEGORIES:
        raise ScoringError(
            f"bfcl_ast can't judge the category {str(category)[:40]!r}; it must be one of: "
            f"{', '.join(CATEGORIES)}, or one of these after 'live_'"
        )
    if not isinstance(functions, Sequence) or isinstance(functions, str):
        raise ScoringError("details.functions must be the list of BFCL's functions")
    read = tuple(_function_of(function, has_dots) for function in functions)
    named = tuple(PossibleAnswer(_spelt(call.name, has_dots), call.allowed) for call in expected)
    known = {function.name for function in read}
    if foreign := [call.name for call in named if call.name not in known]:
        raise ScoringError(f"the target calls {foreign[0]!r}, which details.functions lacks")
    if bool(named) == ("irrelevance" in category):
        raise ScoringError(f"the category {category!r} does not go with {len(named)} target calls")
    return Entry(category, read, named)


def _spelt(name: str, has_dots: bool) -> str:
    return name if has_dots else name.replace(".", "_")


def _function_of(value: JsonValue, has_dots: bool) -> Function:
    name, parameters = _member(value, "name"), _member(value, "parameters")
    required = _member(parameters, "required")
    properties = _member(parameters, "properties")
    if not isinstance(name, str) or not isinstance(properties, Mapping):
        raise ScoringError("a function of BFCL needs a name and parameters.properties")
    if not isinstance(required, Sequence):
        raise ScoringError(f"the function {name[:80]!r} needs a list parameters.required")
    read = {key: _parameter_of(f"{name}.{key}", part) for key, part in properties.items()}
    return Function(_spelt(name, has_dots), read, tuple(map(str, required)))


def _parameter_of(place: str, value: JsonValue) -> Parameter:
    declared = _member(value, "type")
    items = _member(_member(value, "items"), "type")
    inner = TYPES.get(items) if isinstance(items, str) else None
    if not isinstance(declared, str) or declared not in TYPES:
        raise ScoringError(
            f"{place[:80]!r} has the type {str(declared)[:40]!r}; BFCL knows: {', '.join(TYPES)}"
        )
    if declared in NESTED and inner is None:
        raise ScoringError(
            f"the items of {place[:80]!r} have the type {str(items)[:40]!r}; "
            f"BFCL knows: {', '.join(TYPES)}"
        )
    return Parameter(declared, inner if declared in NESTED else None)


def _member(value: JsonValue, key: str) -> JsonValue:
    return value.get(key) if isinstance(value, Mapping) else None
