"""The JSON body of a request, read within a byte limit and checked before anything uses it."""

import json
import math
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request

from core.errors import InputError
from core.messages import JsonObject, JsonValue

MAX_DEPTH = 64
"""Nesting of lists and objects; recursion over a body stays far below Python's limit."""


class RequestError(InputError):
    """A request that HTTP or OpenAI's shape rules out; says which field is to blame."""

    def __init__(
        self, text: str, param: str | None = None, status: int = 400, code: str = "INVALID_REQUEST"
    ) -> None:
        super().__init__(text)
        self.param = param
        """Path of the field, like `messages[0].content`; None when it is no single one."""
        self.status = status
        self.code = code


async def read_json(request: Request, max_bytes: int) -> JsonObject:
    """Return the JSON object that the request carries.

    Raises:
        RequestError: another content type (415), too large (413), or not such an object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(
            f"content-type must be application/json, got {kind!r}", None, 415, "UNSUPPORTED_MEDIA"
        )
    try:
        text = (await _read(request, max_bytes)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"the body must be UTF-8: byte {error.start} is not") from error
    value = _parse(text)
    if not isinstance(value, Mapping):
        raise RequestError("the body must be a JSON object")
    return value


async def _read(request: Request, max_bytes: int) -> bytes:
    """Read the body; stop as soon as it turns out too large."""
    declared = request.headers.get("content-length", "")
    too_large = RequestError(
        f"the body must have at most {max_bytes} bytes", None, 413, "TOO_LARGE"
    )
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise too_large
    except ClientDisconnect as error:
        raise RequestError("the connection was closed before the body was complete") from error
    return bytes(body)


def _parse(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise RequestError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise RequestError(f"the body is nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:  # Python's own limit on the digits of an integer.
        raise RequestError("the body has an integer of thousands of digits") from error
    _check(value, 0)
    return value


def _refuse_constant(name: str) -> float:
    raise RequestError(f"the body is not JSON: {name} is not a number there")


def _check(value: JsonValue, depth: int) -> None:
    """Refuse what JSON's grammar lets through and programs stumble over."""
    if depth > MAX_DEPTH:
        raise RequestError(f"the body is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _check_text(name)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, int | float):
        _check_number(value)


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError("the body has half of a surrogate pair in a text") from error


def _check_number(number: float) -> None:
    if isinstance(number, float) and not math.isfinite(number):
        raise RequestError("the body has a number that is too large")
    if isinstance(number, int) and not -(2**63) <= number < 2**64:
        raise RequestError("the body has an integer that does not fit 64 bits")
