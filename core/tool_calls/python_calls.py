"""Tool calls written like Python: `f(a=1)` or `[f(a=1), g(b="x")]`; parsed, never run."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.lenient_json import MAX_DEPTH
from core.messages import JsonObject, JsonValue
from core.tool_calls.split import MAX_CALL_CHARACTERS

BEGIN = re.compile(r"\[?\s*[^\W\d][\w.]*\s*\(")
UNKNOWN_ESCAPE = re.compile(r"\\[^\n\\'\"abfnrtv0-7xuUN]")
"""Python warns of these, and will refuse them; a call is no place for warnings."""
JSON_WORDS: Mapping[str, JsonValue] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class PythonCall:
    """One call, its arguments as JSON."""

    name: str
    """With dots when the model wrote them: `math.factorial`."""
    arguments: JsonObject


class _NoCallError(ValueError):
    """The text is something else than calls with literal arguments."""


def python_calls(text: str) -> tuple[PythonCall, ...]:
    """Return the calls when the text is nothing but calls with literal arguments; else nothing.

    A text is one call, one a line, or a list of them. Arguments need names; one dictionary alone
    counts as all arguments. Literals are Python's, and `true`, `false`, `null`; tuples become
    lists. Positional arguments are refused: which parameter they mean can't be known here.
    """
    text = text.strip()
    if len(text) > MAX_CALL_CHARACTERS or not BEGIN.match(text) or UNKNOWN_ESCAPE.search(text):
        return ()
    try:
        return tuple(map(_call, _expressions(ast.parse(text))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()


def _expressions(module: ast.Module) -> list[ast.expr]:
    expressions = []
    for statement in module.body:
        if not isinstance(statement, ast.Expr):
            raise _NoCallError
        expressions.append(statement.value)
    if len(expressions) == 1 and isinstance(expressions[0], ast.List):
        return expressions[0].elts
    return expressions


def _call(node: ast.expr) -> PythonCall:
    if not isinstance(node, ast.Call):
        raise _NoCallError
    name = _dotted(node.func)
    if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Dict):
        return PythonCall(name, _members(node.args[0], 1))
    if node.args:
        raise _NoCallError
    arguments: dict[str, JsonValue] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise _NoCallError
        arguments[keyword.arg] = _literal(keyword.value, 1)
    return PythonCall(name, arguments)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise _NoCallError


def _literal(node: ast.expr, depth: int) -> JsonValue:
    if depth > MAX_DEPTH:
        raise _NoCallError
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        return _members(node, depth)
    if isinstance(node, ast.Name) and node.id in JSON_WORDS:
        return JSON_WORDS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _literal(node.operand, depth + 1)
        if isinstance(number, int | float) and not isinstance(number, bool):
            return -number
    raise _NoCallError


def _constant(value: object) -> JsonValue:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise _NoCallError


def _members(node: ast.Dict, depth: int) -> dict[str, JsonValue]:
    members: dict[str, JsonValue] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        name = _constant(key.value) if isinstance(key, ast.Constant) else None
        if not isinstance(name, str) or name in members:
            raise _NoCallError
        members[name] = _literal(item, depth + 1)
    return members
