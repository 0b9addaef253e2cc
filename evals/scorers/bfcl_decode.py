"""What BFCL's two decoders make of an answer, without executing any of it.

Follows `default_decode_ast_prompting` and `decode_ast` of bfcl-eval 2026.3.23 (Apache-2.0) with
all that they do by accident: positional arguments are dropped, of a repeated keyword the last one
counts, `true` and `null` are texts, a nested call is a dictionary or a text, every unary operator
is a minus. Theirs hands any binary operation to Python; ours computes those on numbers and
joins texts, and what else it would have to execute can't be decoded.
"""

import ast
import json
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.messages import ToolCall

MAX_CHARACTERS = 100_000
"""Longest text that is decoded."""
MAX_POWER_BITS = 10_000
"""Largest whole number that a power may have, in bits."""
UNREADABLE = (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError)

Number = int | float | complex
ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True, slots=True)
class DecodedCall:
    """A call as BFCL's checker sees it."""

    name: str
    arguments: Mapping[Any, object] = field(hash=False)
    """Python values, tuples among them; the key of `**` is None."""


class UndecodableError(ValueError):
    """A part of the text that the official decoder refuses, or that ours will not execute."""


def decode_prompt(text: str) -> tuple[DecodedCall, ...] | None:
    """Return the calls of a text as BFCL's prompt mode decodes it; None: it is not decodable.

    An empty text, `[]` too, holds no calls and is decodable.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    text = text.strip("`\n ")
    text = text if text.startswith("[") else "[" + text
    text = text if text.endswith("]") else text + "]"
    try:
        return tuple(_call(node) for node in _calls(text.strip().strip("'")))
    except UNREADABLE:
        return None


def decode_arguments(calls: Sequence[ToolCall]) -> tuple[DecodedCall, ...] | None:
    """Return calls as BFCL's function-calling mode decodes them; None: one is not decodable."""
    decoded: list[DecodedCall] = []
    for call in calls:
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            return None
        if not isinstance(arguments, dict):
            return None
        decoded.append(DecodedCall(call.name, arguments))
    return tuple(decoded)


def _calls(text: str) -> list[ast.Call]:
    # An unknown escape such as "\d" is a warning, which some callers turn into an error.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = ast.parse(text, mode="eval").body
    if isinstance(body, ast.Call):
        return [body]
    if not isinstance(body, ast.List | ast.Tuple):
        raise UndecodableError
    calls = [node for node in body.elts if isinstance(node, ast.Call)]
    if len(calls) < len(body.elts):
        raise UndecodableError
    return calls


def _call(node: ast.Call) -> DecodedCall:
    """Decode a call; of what its name is an attribute of, only names remain."""
    parts: list[str] = []
    place = node.func
    while isinstance(place, ast.Attribute):
        parts.append(place.attr)
        place = place.value
    if isinstance(place, ast.Name):
        parts.append(place.id)
    arguments: dict[object, object] = {}
    for keyword in node.keywords:
        arguments[keyword.arg] = _value(keyword.value)
    return DecodedCall(".".join(reversed(parts)), arguments)


def _value(node: ast.expr | None) -> object:
    if isinstance(node, ast.Constant):
        return "..." if node.value is Ellipsis else node.value
    if isinstance(node, ast.UnaryOp):
        return _negated(node.operand)
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_value(key): _value(item) for key, item in pairs}
    if isinstance(node, ast.BinOp):
        return _arithmetic(node)
    return _as_text(node)


def _as_text(node: ast.expr | None) -> object:
    """Decode what becomes a text: a name, a subscript, a call without keywords."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        if not node.keywords:
            return ast.unparse(node)
        call = _call(node)
        return {call.name: call.arguments}
    if isinstance(node, ast.Subscript):
        return f"{ast.unparse(node.value)}[{ast.unparse(node.slice)}]"
    raise UndecodableError


def _negated(operand: ast.expr) -> object:
    """Return minus the operand, whatever the operator is."""
    if isinstance(operand, ast.Constant) and isinstance(operand.value, Number):
        return -operand.value
    raise UndecodableError


def _arithmetic(node: ast.expr) -> object:
    """Return the result of an operation on numbers, or of joining texts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, Number | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _arithmetic(node.operand)
        if isinstance(number, Number):
            return -number if isinstance(node.op, ast.USub) else +number
    if isinstance(node, ast.BinOp):
        return _result(node.op, _arithmetic(node.left), _arithmetic(node.right))
    raise UndecodableError


def _result(operation: ast.operator, left: object, right: object) -> object:
    if isinstance(left, str) and isinstance(right, str) and isinstance(operation, ast.Add):
        return left + right
    compute = ARITHMETIC.get(type(operation))
    if compute is None or not isinstance(left, Number) or not isinstance(right, Number):
        raise UndecodableError
    if compute is operator.pow and isinstance(left, int) and isinstance(right, int):
        bits = max(left.bit_length(), 1) * abs(right)
        if bits > MAX_POWER_BITS:
            raise UndecodableError
    return compute(left, right)
