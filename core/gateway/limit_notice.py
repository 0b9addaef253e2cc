"""Reads what a server says of its limits: in headers, and in the text of a refusal.

Whatever comes in, nothing is raised: what can't be read, or can't be true, is left out.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.gateway.buckets import DAY_S, MINUTE_S
from core.gateway.limit_headers import (
    DURATION_TEXT,
    BucketReading,
    amount,
    duration_s,
    header_buckets,
    header_wait_s,
    window_of,
)
from core.store.budgets import Unit

__all__ = ["BucketReading", "LimitNotice", "read_notice"]

MAX_TEXT = 4000
"""Characters of a message that are looked at."""
MAX_JSON = 100_000
ROUNDING = 1e-3
"""Less than this between two counts is the wait's own rounding."""
AMOUNT = r"([0-9][0-9,]{0,20})(?![0-9])"

WAIT_TEXT = re.compile(
    rf"(?:try again|retry) (?:in|after) ({DURATION_TEXT})(?![a-z0-9])", re.IGNORECASE
)
LIMIT_TEXT = re.compile(rf"\blimit:? {AMOUNT}", re.IGNORECASE)
USED_TEXT = re.compile(rf"\b(?:used|current):? ~?{AMOUNT}", re.IGNORECASE)
REQUESTED_TEXT = re.compile(rf"\brequested:? ~?{AMOUNT}", re.IGNORECASE)
SHORT_NAME = re.compile(r"\(([RT])P([MD])\)|\bon ([RT])P([MD])\b")
LONG_NAME = re.compile(r"\b(?<!input )(?<!output )(token|request)s? per (min|day)", re.IGNORECASE)
DAY_TEXT = re.compile(r"per[ _]?day|\b[RT]PD\b|\bdaily\b", re.IGNORECASE)

TOO_LARGE = re.compile(r"\brequest too large\b", re.IGNORECASE)
NO_CREDIT_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "access_terminated",
    }
)
NO_CREDIT_TEXT = re.compile(
    r"exceeded your current quota|insufficient[_ ](?:quota|balance|credit|funds)|not_enough_balance"
    r"|(?:spend|spending|billing|usage|budget)(?: hard)? (?:limit|cap)\b"
    r"|account is not active|check your (?:plan and )?billing"
    r"|credit balance is too low|exceeded your (?:monthly|included|monthly included) credits",
    re.IGNORECASE,
)
LINK = re.compile(r"\b[a-z]{2,8}://\S{1,500}", re.IGNORECASE)
"""Taken out first: refusals for a minute link to pages named `billing` too."""
NO_CREDIT_STATUSES = frozenset({400, 402, 403, 429})


@dataclass(frozen=True, slots=True)
class LimitNotice:
    """What an answer says of the server's limits."""

    retry_after_s: float | None
    """The longest time it asks to wait; None when it names none, or none would help."""
    is_permanent: bool
    """Whether asking the same again can't succeed until a person acts."""
    is_day: bool
    """Whether a day's limit is the cause, not a minute's."""
    exhausted: BucketReading | None
    """The limit that refused the request, when it is named."""
    buckets: tuple[BucketReading, ...]
    """Limits told in headers, on answers and refusals alike."""
    is_refused: bool = False
    """Whether the request was turned away for a limit."""
    is_too_large: bool = False
    """Whether the request alone is more than the limit: permanent for it, not for the model."""


@dataclass(frozen=True, slots=True)
class _Said:
    """The words of an error body."""

    text: str = ""
    codes: frozenset[str] = frozenset()


def read_notice(
    status: int, headers: Mapping[str, str], body: object | str | None, now: float
) -> LimitNotice:
    """Return what an HTTP answer says of its server's limits.

    `body` is the text of the answer, or what its JSON holds; `now` is in seconds since 1970.
    """
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    buckets = tuple(header_buckets(named, now))
    if status < 400:
        return LimitNotice(None, False, False, None, buckets)
    said = _said(body)
    text_wait = _wait_of(said.text)
    is_too_large = status == 413 or bool(TOO_LARGE.search(said.text))
    is_permanent = is_too_large or _is_out_of_credit(status, said, text_wait is not None)
    waits = [wait for wait in (header_wait_s(named, now), text_wait) if wait is not None]
    wait = None if is_permanent else max(waits, default=None)
    exhausted = _text_bucket(said.text, text_wait) or _empty_bucket(buckets)
    return LimitNotice(
        retry_after_s=wait,
        is_permanent=is_permanent,
        is_day=_is_day(said.text, exhausted, wait),
        exhausted=exhausted if status in (413, 429) else None,
        buckets=buckets,
        is_refused=is_permanent or status == 429,
        is_too_large=is_too_large,
    )


def _said(body: object) -> _Said:
    """Find the message and the codes, as OpenAI, Anthropic and Google wrap them."""
    inner = _unwrapped(body)
    if isinstance(inner, str):
        return _Said(_readable(inner))
    if not isinstance(inner, Mapping):
        return _Said()
    codes = (inner.get("code"), inner.get("type"), inner.get("status"))
    message = inner.get("message")
    return _Said(
        _readable(message) if isinstance(message, str) else "",
        frozenset(code.lower() for code in codes if isinstance(code, str)),
    )


def _unwrapped(body: object) -> object:
    if isinstance(body, bytes):
        body = body[:MAX_JSON].decode(errors="replace")
    if isinstance(body, str):
        body = _parsed(body)
    if isinstance(body, list) and body:
        body = body[0]
    for _ in range(2):
        if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping | str):
            body = body["error"]
    return body


def _parsed(text: str) -> object:
    """Return what JSON holds; other text as it is."""
    if len(text) > MAX_JSON or not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _readable(text: str) -> str:
    return LINK.sub(" ", text[:MAX_TEXT])


def _wait_of(text: str) -> float | None:
    found = WAIT_TEXT.search(text)
    return duration_s(found.group(1)) if found else None


def _is_out_of_credit(status: int, said: _Said, has_wait: bool) -> bool:
    if status == 402 or (said.codes & NO_CREDIT_CODES and status in NO_CREDIT_STATUSES):
        return True
    if status == 400:
        # Other texts with this status may quote the request.
        return said.text.lower().startswith("your credit balance is too low")
    # Google says "exceeded your current quota" of a minute's limit too, and then for how long.
    return status in NO_CREDIT_STATUSES and not has_wait and bool(NO_CREDIT_TEXT.search(said.text))


def _text_bucket(text: str, wait_s: float | None) -> BucketReading | None:
    """Return the limit that a refusal's text names; what it leaves out follows from the law."""
    limit, used, requested = (
        _found(pattern, text) for pattern in (LIMIT_TEXT, USED_TEXT, REQUESTED_TEXT)
    )
    if not limit:
        return None
    unit, window = _named(text)
    if window is None and wait_s and used is not None and requested is not None:
        window = window_of(limit, used + requested - limit, wait_s)
    if unit is None and requested is not None:
        unit = "requests" if requested == 1 else "tokens"
    if unit is None or window is None:
        return None
    if used is not None and requested is not None and wait_s:
        used = _unrounded(used, limit - requested + wait_s * limit / window)
    return BucketReading(unit, window, limit, used, requested)


def _unrounded(used: float, by_law: float) -> float:
    """Return what is used, with the fraction that the text leaves out.

    The stated wait is (used + requested - limit) / (limit / window) exactly, and tells it.
    """
    return by_law if used + ROUNDING < by_law < used + 1 else used


def _named(text: str) -> tuple[Unit | None, float | None]:
    if short := SHORT_NAME.search(text):
        unit, window = short.group(1) or short.group(3), short.group(2) or short.group(4)
        return "requests" if unit == "R" else "tokens", MINUTE_S if window == "M" else DAY_S
    if long := LONG_NAME.search(text):
        unit, window = long.group(1).lower(), long.group(2).lower()
        return "requests" if unit == "request" else "tokens", MINUTE_S if window == "min" else DAY_S
    return None, None


def _found(pattern: re.Pattern[str], text: str) -> float | None:
    found = pattern.search(text)
    return amount(found.group(1)) if found else None


def _empty_bucket(buckets: tuple[BucketReading, ...]) -> BucketReading | None:
    empty = [each for each in buckets if each.used is not None and each.used >= each.limit]
    return empty[0] if len(empty) == 1 else None


def _is_day(text: str, exhausted: BucketReading | None, wait_s: float | None) -> bool:
    if exhausted:
        return exhausted.window_s == DAY_S
    # A minute's bucket is empty again after a minute.
    return bool(DAY_TEXT.search(text)) or (wait_s or 0.0) > 2 * MINUTE_S
