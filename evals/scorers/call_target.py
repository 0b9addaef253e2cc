"""Targets of tool-call tasks: exact calls, or BFCL's with the values that each argument may have.

    {"calls": [{"name": "seat", "arguments": {"guest": "Ada"}}]}
    {"calls": [{"seat": {"guest": ["Ada", "Ada Lovelace"], "table": [3, ""]}}]}
    {"calls": []}                                        no tool fits, and none must be called

BFCL's `""` says that the argument may be left out. Its names hold dots, which OpenAI's don't
allow: where a tool is offered with `_` for the dot, it is expected so, and BFCL's own name is read
as the same tool's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import ScoringError
from core.messages import JsonObject, JsonValue, Tool
from evals.calls import Call
from evals.sample import Sample
from evals.schema_check import schema_errors
from evals.scorers.bfcl import Entry, PossibleAnswer, entry_of
from evals.scorers.call_match import Allowed, ExpectedCall

MAX_CALLS = 100
"""Calls of one target."""
SHAPE = (
    'the target must be {"calls": [...]} with calls {"name": ..., "arguments": {...}} or, as in '
    "BFCL, {NAME: {PARAMETER: [allowed values]}}"
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a sample expects."""

    calls: tuple[ExpectedCall, ...]
    """None: abstention."""
    tools: Mapping[str, Tool] = field(hash=False)
    bfcl: Entry | None
    """The same as BFCL judges it; None: the sample is not BFCL's."""
    dotted: Mapping[str, str] = field(default_factory=dict, hash=False)
    """BFCL's own names of tools that are offered with `_` for the dot, and the offered ones."""

    def is_valid(self, call: Call) -> bool:
        """Say whether a call keeps to its tool's schema, as far as the target itself does."""
        if not self._schema_errors(call):
            return True
        examples = [each.example() for each in self.calls if each.name == call.name]
        return any(self._schema_errors(example) for example in examples)

    def _schema_errors(self, call: Call) -> tuple[str, ...]:
        tool = self.tools.get(call.name)
        return schema_errors(call.arguments, tool.parameters) if tool else ()


def target_of(sample: Sample) -> Target:
    """Read a sample's target.

    Raises:
        ScoringError: it is none of tool calls, or not one that BFCL's checker can judge.
    """
    tools = {tool.name: tool for tool in sample.tools}
    items = sample.target.get("calls") if isinstance(sample.target, Mapping) else None
    if not isinstance(items, list) or len(items) > MAX_CALLS:
        raise ScoringError(f"{SHAPE}, at most {MAX_CALLS} of them")
    calls = tuple(_expected(item, tools) for item in items)
    dotted = _dotted(sample.details.get("functions"), tools.keys())
    return Target(calls, tools, _entry(sample, items, tools.keys()), dotted)


def target_calls(target: Target) -> tuple[Call, ...]:
    """Return calls that are right: the first allowed value of every argument."""
    return tuple(call.example() for call in target.calls)


def _expected(item: JsonValue, tools: Mapping[str, Tool]) -> ExpectedCall:
    if not isinstance(item, Mapping):
        raise ScoringError(SHAPE)
    name, given = item.get("name"), item.get("arguments", {})
    if isinstance(name, str) and isinstance(given, Mapping):
        arguments = {key: Allowed((value,)) for key, value in given.items()}
    else:
        possible = _possible(item)
        name = possible.name
        arguments = {key: _allowed(values) for key, values in possible.allowed.items()}
    name = _offered_name(name, tools.keys())
    return ExpectedCall(name, arguments, _defaults(tools.get(name)))


def _possible(item: JsonValue) -> PossibleAnswer:
    """Read an expected call of BFCL."""
    if not isinstance(item, Mapping) or len(item) != 1:
        raise ScoringError(SHAPE)
    name, allowed = next(iter(item.items()))
    if not isinstance(allowed, Mapping):
        raise ScoringError(SHAPE)
    lists = {key: values for key, values in allowed.items() if isinstance(values, list)}
    if len(lists) < len(allowed):
        raise ScoringError(SHAPE)
    return PossibleAnswer(name, lists)


def _allowed(values: Sequence[JsonValue]) -> Allowed:
    given = tuple(value for value in values if value != "")
    is_optional = len(given) < len(values)
    return Allowed(given, is_optional=is_optional, is_keyed=True)


def _defaults(tool: Tool | None) -> JsonObject:
    properties = tool.parameters.get("properties") if tool else None
    if not isinstance(properties, Mapping):
        return {}
    return {
        name: part["default"]
        for name, part in properties.items()
        if isinstance(part, Mapping) and "default" in part
    }


def _offered_name(name: str, offered: Collection[str]) -> str:
    plain = name.replace(".", "_")
    return plain if plain in offered and name not in offered else name


def _dotted(functions: JsonValue, offered: Collection[str]) -> dict[str, str]:
    given = functions if isinstance(functions, list) else []
    names = [each["name"] for each in given if isinstance(each, Mapping) and "name" in each]
    found = {name: _offered_name(name, offered) for name in names if isinstance(name, str)}
    return {name: plain for name, plain in found.items() if name != plain}


def _entry(sample: Sample, items: Sequence[JsonValue], offered: Collection[str]) -> Entry | None:
    functions = sample.details.get("functions")
    if functions is None:
        return None
    expected = tuple(_possible(item) for item in items)
    names = [call.name for call in expected]
    has_dots = all(_offered_name(name, offered) == name for name in names)
    return entry_of(sample.details.get("category"), functions, expected, has_dots=has_dots)
