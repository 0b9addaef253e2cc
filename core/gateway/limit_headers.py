"""Reads times and limits from the headers of an answer.

Whatever comes in, nothing is raised: what can't be read, or can't be true, is left out.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

from core.gateway.buckets import DAY_S, MAX_WAIT_S, MINUTE_S
from core.store.budgets import Unit

MAX_LIMIT = 1e12
WINDOW_TOLERANCE = 10.0
"""How far a window may be from what the law says, as a factor: servers round short times up."""

UNIT_S = {
    "d": Decimal(86_400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
PART_NAMES = "days?|hours?|minutes?|min|seconds?|sec|ms|[uµμ]s|ns|[dhms]"
PART_TEXT = rf"[0-9]{{1,15}}(?:\.[0-9]{{1,15}})?\s?(?:{PART_NAMES})"
DURATION_TEXT = rf"{PART_TEXT}(?:(?:\s*,\s*|\s+and\s+|\s*){PART_TEXT}){{0,5}}"
DURATION = re.compile(DURATION_TEXT)
PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s?([a-zµμ]+)")
NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,18})?")
PARTS = ("limit", "remaining", "reset")


@dataclass(frozen=True, slots=True)
class BucketReading:
    """What a server says of one of its limits."""

    unit: Unit
    window_s: float
    """60.0 or 86,400.0."""
    limit: float
    """Per window, above 0."""
    used: float | None
    """None where it says the limit alone."""
    requested: float | None = None
    """What it counted for the refused request."""


def duration_s(text: str) -> float | None:
    """Return the seconds of `1m26.4s`, `450ms`, `6m0s`, `7.66s` or a bare number; None if none."""
    text = text.strip().lower()[:200]
    if NUMBER.fullmatch(text):
        return _plausible(float(text))
    if not DURATION.fullmatch(text):
        return None
    parts = PART.findall(text)
    return _plausible(float(sum(Decimal(number) * UNIT_S[_unit(name)] for number, name in parts)))


def window_of(limit: float, used: float, wait_s: float) -> float | None:
    """Return the window in which `used` of `limit` refills in `wait_s`: 60.0 or 86,400.0.

    None when nothing is used, or when neither is near.
    """
    if limit <= 0 or used <= 0 or wait_s <= 0:
        return None
    law = math.log(wait_s * limit / used)
    window = min((MINUTE_S, DAY_S), key=lambda each: abs(math.log(each) - law))
    return window if abs(math.log(window) - law) <= math.log(WINDOW_TOLERANCE) else None


def _unit(name: str) -> str:
    if name.endswith("s") and name[:-1] in ("u", "µ", "μ"):
        return "us"
    return name if name in UNIT_S else name[0]


def _plausible(seconds: float) -> float | None:
    return seconds if 0.0 <= seconds <= MAX_WAIT_S else None


def header_wait_s(named: Mapping[str, str], now: float) -> float | None:
    """Return what `retry-after` asks for; the forms in milliseconds are the finer ones.

    Source: RFC 9110, section 10.2.3: seconds or a date.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        value = named.get(name, "").strip()
        if NUMBER.fullmatch(value):
            return _plausible(float(value) / 1000)
    value = named.get("retry-after", "")
    seconds = duration_s(value)
    return seconds if seconds is not None else _until(_http_date(value), now)


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text[:100])
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _until(moment: datetime | None, now: float) -> float | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return _plausible(max(0.0, aware.timestamp() - now))
    except (OverflowError, ValueError):
        return None


def header_buckets(named: Mapping[str, str], now: float) -> Iterator[BucketReading]:
    """Yield the limits that headers tell; their names in lower case."""
    # Anthropic's limits for input or output tokens alone are no limit for both together; its
    # `tokens` headers are.
    units: tuple[Unit, ...] = ("requests", "tokens")
    for unit in units:
        openai = [named.get(f"x-ratelimit-{part}-{unit}", "") for part in PARTS]
        anthropic = [named.get(f"anthropic-ratelimit-{unit}-{part}", "") for part in PARTS]
        if reading := _bucket(unit, openai, now) or _bucket(unit, anthropic, now):
            yield reading


def _bucket(unit: Unit, values: list[str], now: float) -> BucketReading | None:
    limit, remaining = amount(values[0]), amount(values[1])
    reset_s = duration_s(values[2])
    if reset_s is None:
        reset_s = _until(_rfc3339(values[2]), now)
    if not limit or remaining is None or reset_s is None:
        return None
    used = limit - remaining
    window = window_of(limit, used, reset_s)
    return BucketReading(unit, window, limit, used) if window else None


def _rfc3339(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip()[:40])
    except ValueError:
        return None


def amount(text: str) -> float | None:
    """Return a number of requests or tokens, `12,000` or `12000`; None if it is none."""
    plain = text.strip().replace(",", "")
    if not NUMBER.fullmatch(plain):
        return None
    value = float(plain)
    return value if value <= MAX_LIMIT else None
