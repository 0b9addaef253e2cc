"""JSON Schemas that callers bring: checked before use, and answers checked against them.

A schema is foreign input. Nothing is ever fetched, references stay inside of the schema, and size,
depth, steps (`validators.py`) and patterns (`patterns.py`) are bounded. jsonschema, slow to import,
is loaded by the first schema.
"""

import json
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from core.errors import InputError
from core.gateway.guard.patterns import Pattern
from core.lenient_json import MAX_DEPTH
from core.messages import JsonObject, JsonValue

MAX_SCHEMA_BYTES = 50_000
MAX_ALL_STATES = 2_000
"""Bound on the states of all patterns of a schema together."""
FOREIGN = ("$dynamicRef", "$recursiveRef")


def check_schema(schema: JsonObject) -> None:
    """Refuse what can't be used as a schema: draft 2020-12, or 2019-09 or 07 by `$schema`.

    References must be `#` or `#/...` and lead to a part of this schema; nothing is fetched.
    Patterns follow ECMA-262 without look-around and back-references.

    Raises:
        InputError: it is no such schema, or more than 50,000 bytes, 64 levels or a pattern's
            limits; the text says where.
    """
    from core.gateway.guard.validators import check_draft

    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the schema is not JSON: {error}") from error
    if len(text) > MAX_SCHEMA_BYTES:
        raise InputError(f"the schema has {len(text)} bytes, at most {MAX_SCHEMA_BYTES} allowed")
    if not isinstance(schema, dict):
        raise InputError(f"a schema must be a JSON object, got {text[:40]}")
    nodes = list(_nodes(schema))
    check_draft(schema)
    for node in nodes:
        _check_references(node, schema)
    _check_patterns(nodes)


def validate(value: JsonValue, schema: JsonObject) -> tuple[str, ...]:
    """Return what is wrong with the value, as `$.path: what`, at most 10 short texts.

    The schema must have passed `check_schema`. A text of more than 10,000 characters matches no
    pattern. `format` says nothing about validity.

    Raises:
        InputError: the schema refers to itself without end, or takes too many steps.
    """
    from core.gateway.guard.validators import first_errors

    return first_errors(value, schema)


def _nodes(schema: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """Yield every object in the schema.

    Raises:
        InputError: it is nested too deep.
    """
    level: list[JsonValue] = [schema]
    for _ in range(MAX_DEPTH):
        yield from (node for node in level if isinstance(node, dict))
        level = [item for node in level for item in _parts(node)]
    if any(isinstance(node, dict | list) for node in level):
        raise InputError(f"the schema is nested deeper than {MAX_DEPTH} levels")


def _parts(node: JsonValue) -> list[JsonValue]:
    if isinstance(node, dict):
        return list(node.values())
    return list(node) if isinstance(node, list | tuple) else []


def _check_patterns(nodes: list[dict[str, JsonValue]]) -> None:
    sources, has_names = set[str](), False
    for node in nodes:
        if isinstance(source := node.get("pattern"), str):
            sources.add(source)
        if isinstance(by_pattern := node.get("patternProperties"), dict):
            sources.update(by_pattern)
            has_names = True
    states = 0
    for source in sorted(sources):
        states += Pattern(source).states
        if states > MAX_ALL_STATES:
            raise InputError("the schema's patterns together are too large; simplify them")
    if has_names and any("unevaluatedProperties" in node for node in nodes):
        raise InputError(
            "unevaluatedProperties together with patternProperties is not supported; "
            "use additionalProperties"
        )


def _check_references(node: Mapping[str, JsonValue], schema: JsonObject) -> None:
    for name in FOREIGN:
        if isinstance(node.get(name), str):
            raise InputError(f"{name} is not supported; use $ref")
    if node is not schema and isinstance(node.get("$id"), str):
        raise InputError("$id is supported only at the top of a schema")
    reference = node.get("$ref")
    if isinstance(reference, str) and not _leads_somewhere(reference, schema):
        raise InputError(
            f"$ref {reference[:80]!r} leads to no part of this schema, and others are never "
            "fetched; write it as '#/$defs/NAME'"
        )


def _leads_somewhere(reference: str, schema: JsonObject) -> bool:
    """Say whether a JSON pointer (RFC 6901, after `#`) names a schema in the schema."""
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    place: JsonValue = schema
    for step in unquote(reference[2:]).split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, dict) and step in place:
            place = place[step]
        elif isinstance(place, list) and step.isdecimal() and int(step) < len(place):
            place = place[int(step)]
        else:
            return False
    return isinstance(place, dict | bool)
