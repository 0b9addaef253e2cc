"""jsonschema's validators with bounds: on steps, on patterns, and on what they report."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jsonschema  # type: ignore[import-untyped]  # the package has no types

from core.errors import InputError
from core.gateway.guard.patterns import MAX_TEXT_CHARACTERS, Pattern
from core.json_text import canonical
from core.messages import JsonObject, JsonValue

DEFAULT_DRAFT = "https://json-schema.org/draft/2020-12/schema"
DRAFTS: Mapping[str, Any] = {
    DEFAULT_DRAFT: jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator,
}
MAX_WORK = 10_000_000
"""Bound on one check, about two seconds: a schema can be written so that it never ends."""
KEYWORD_WORK = 400
"""Work of applying one keyword to one value; a pattern's is its states times the text's length."""
MAX_ERRORS = 10
MAX_ERROR_CHARACTERS = 200

Keyword: TypeAlias = Callable[[Any, Any, Any, Any], Any]
"""A check of jsonschema: validator, keyword's value, instance and schema to errors."""


def check_draft(schema: JsonObject) -> None:
    """Refuse what the schema's own draft does not allow.

    Raises:
        InputError: the draft is not one of ours, or the schema breaks its rules.
    """
    try:
        _draft(schema).check_schema(schema, jsonschema.FormatChecker(formats=()))
    except jsonschema.SchemaError as error:
        raise InputError(f"no valid JSON Schema at {error.json_path}: {_short(error)}") from error


def first_errors(value: JsonValue, schema: JsonObject) -> tuple[str, ...]:
    """Return the first ten errors as texts; see `schemas.validate`."""
    # With this registry nothing is fetched, even for a schema that nobody checked.
    registry = jsonschema.validators.SPECIFICATIONS
    validator = _Bounds().applied_to(_draft(schema))(schema, registry=registry)
    try:
        errors = list(itertools.islice(validator.iter_errors(value), MAX_ERRORS))
    except RecursionError as error:
        raise InputError(
            "the schema refers to itself without end, or nests too deep for this answer"
        ) from error
    return tuple(dict.fromkeys(map(_described, errors)))


def _draft(schema: JsonObject) -> Any:
    """Return jsonschema's class for the draft that the schema names."""
    name = schema.get("$schema", DEFAULT_DRAFT)
    draft = DRAFTS.get(name.removesuffix("#")) if isinstance(name, str) else None
    if draft is None:
        raise InputError(f"$schema {name!r} is not supported; use one of: {', '.join(DRAFTS)}")
    return draft


class _Bounds:
    """The work left for one check, and the keywords whose work jsonschema leaves unbounded."""

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._patterns: dict[str, Pattern] = {}

    def applied_to(self, base: Any) -> Any:
        """Return the validator class within these bounds."""
        ours = {
            "pattern": self._pattern,
            "patternProperties": self._pattern_properties,
            "additionalProperties": self._additional_properties,
            "uniqueItems": self._unique_items,
        }
        keywords = {**base.VALIDATORS, **ours}
        counted = {name: self._counted(keyword) for name, keyword in keywords.items()}
        return jsonschema.validators.extend(base, counted)

    def _counted(self, keyword: Keyword) -> Keyword:
        def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
            self._spend(KEYWORD_WORK)
            return keyword(validator, value, instance, schema)

        return check

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise InputError("checking the answer against the schema takes too long; simplify it")

    def _is_in(self, source: str, text: str) -> bool:
        pattern = self._patterns.get(source) or Pattern(source)
        self._patterns[source] = pattern
        self._spend(pattern.states * min(len(text), MAX_TEXT_CHARACTERS))
        return pattern.is_in(text)

    def _pattern(self, _: Any, source: str, instance: JsonValue, __: Any) -> Iterator[Any]:
        if isinstance(instance, str) and not self._is_in(source, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {source!r}")

    def _pattern_properties(
        self, validator: Any, by_pattern: JsonObject, instance: JsonValue, _: Any
    ) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        for source, schema in by_pattern.items():
            for name in instance:
                if self._is_in(source, name):
                    yield from validator.descend(instance[name], schema, path=name)

    def _additional_properties(
        self, validator: Any, allowed: JsonValue, instance: JsonValue, schema: Any
    ) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        others = [name for name in instance if name not in known]
        extra = [name for name in others if not any(self._is_in(p, name) for p in patterns)]
        if isinstance(allowed, dict):
            for name in extra:
                yield from validator.descend(instance[name], allowed, path=name)
        elif not allowed and extra:
            listed = ", ".join(map(repr, extra))
            yield jsonschema.ValidationError(f"these properties are not allowed: {listed}")

    def _unique_items(self, _: Any, is_on: bool, instance: JsonValue, __: Any) -> Iterator[Any]:
        """Compare in linear time; jsonschema compares every pair."""
        if not is_on or not isinstance(instance, list):
            return
        if len(set(map(canonical, instance))) < len(instance):
            yield jsonschema.ValidationError("the items are not all different")


def _described(error: Any) -> str:
    """Return the error as a line; of alternatives, what is wrong with the closest ones."""
    closest = jsonschema.exceptions.best_match([error])
    line = f"{closest.json_path}: {_short(closest)}"
    others = dict.fromkeys(map(_short, (closest.context or [])[:3]))
    return f"{line} ({'; '.join(others)})" if others else line


def _short(error: Any) -> str:
    text = str(error.message)
    if len(text) <= MAX_ERROR_CHARACTERS:
        return text
    half = MAX_ERROR_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]}"
