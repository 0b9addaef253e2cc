"""Checks a value against a JSON Schema of a dataset: all of draft 2020-12, nothing ever fetched.

The engine is the gateway's, with its bounds on steps and patterns. What differs is which schemas
are let in: the gateway's callers may use references to parts of the schema only; a dataset's
author also identifiers, anchors and dynamic references. `format` says nothing about validity.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from core.errors import InputError, ScoringError
from core.messages import JsonValue

PLAIN_PATTERN = re.compile(r"\^?[\w-]*\$?")
WORK_PROBES: tuple[JsonValue, ...] = ({}, [], "", 0)
"""A schema that is too much work for these is to blame itself, and not the answer."""


def schema_errors(value: JsonValue, schema: JsonValue) -> tuple[str, ...]:
    """Return what is wrong with the value, as `$.path: what`, at most ten short texts.

    A value that needs more steps than any sensible answer (25,000 keywords) is wrong too.

    Raises:
        ScoringError: the schema is none, or refers to what it does not contain, or uses patterns
            with look-around or back-references, or nests too deep.
    """
    if isinstance(schema, bool):
        schema = {} if schema else {"not": {}}
    if not isinstance(schema, dict):
        raise ScoringError(f"a schema must be a JSON object, got {str(schema)[:40]!r}")
    try:
        _check_schema(json.dumps(schema))
    except InputError as error:
        raise ScoringError(f"the sample's schema can't be used: {error}") from error
    except RecursionError as error:
        raise ScoringError("the sample's schema is nested too deep; flatten it") from error
    return _errors(value, schema)


@lru_cache(maxsize=256)
def _check_schema(text: str) -> None:
    """Refuse what is no schema; remembered, as samples often share one.

    Raises:
        InputError: it breaks the rules of its draft, or its patterns can't be used.
        RecursionError: it is nested too deep.
    """
    from core.gateway.guard.validators import check_draft

    schema = json.loads(text)
    check_draft(schema)
    _check_patterns(schema)


def _errors(value: JsonValue, schema: dict[str, JsonValue]) -> tuple[str, ...]:
    from jsonschema.exceptions import (  # type: ignore[import-untyped]  # the package has no types
        _WrappedReferencingError,
    )

    from core.gateway.guard.validators import first_errors

    try:
        return first_errors(value, schema)
    except _WrappedReferencingError as error:
        raise ScoringError(
            f"the sample's schema refers to what it does not contain ({error}), and nothing is "
            "fetched; put it under $defs"
        ) from error
    except InputError as error:
        if isinstance(error.__cause__, RecursionError) or value in WORK_PROBES:
            raise ScoringError(f"the sample's schema can't be checked: {error}") from error
    for probe in WORK_PROBES:
        _errors(probe, schema)
    return ("$: too large to be checked",)


def _check_patterns(schema: dict[str, JsonValue]) -> None:
    """Refuse patterns that a hostile answer could use to take for ever.

    jsonschema matches `patternProperties` by Python's backtracking `re` where
    `unevaluatedProperties` stands beside it, so there only plain names are let through.

    Raises:
        InputError: a pattern is not understood, or not plain where it must be.
    """
    from core.gateway.guard.patterns import Pattern

    nodes = list(_nodes(schema))
    names = [key for node in nodes for key in _keys(node.get("patternProperties"))]
    texts = [node["pattern"] for node in nodes if isinstance(node.get("pattern"), str)]
    for source in (*names, *texts):
        Pattern(str(source))
    if any("unevaluatedProperties" in node for node in nodes):
        for name in names:
            if not PLAIN_PATTERN.fullmatch(name):
                raise InputError(
                    f"the pattern {name[:80]!r} in patternProperties together with "
                    "unevaluatedProperties is not supported; use plain names as '^x-'"
                )


def _keys(value: JsonValue) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _nodes(schema: JsonValue) -> Iterator[dict[str, JsonValue]]:
    pending: list[JsonValue] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
