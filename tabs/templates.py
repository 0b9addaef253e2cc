"""HTML from `assets/pages`: every value is escaped unless a template says so, and none says so.

What others wrote is shown character by character, control characters and what turns text around as
a replacement sign, long text cut with the number of characters left out.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evals.leaderboard_text import money

UNSHOWABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
MAX_SHOWN = 20_000
"""Characters of one text on a page."""


def make_templates(folder: Path) -> Environment:
    """Return the templates of a folder, with the filters that all pages use."""
    templates = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "clean": clean,
        "clipped": clipped,
        "day": day,
        "money": money,
        "number": number,
        "share": share,
        "short": short,
    }
    return templates


def clean(text: str) -> str:
    """Return a text whose every character can be shown and sent."""
    return UNSHOWABLE.sub("\ufffd", text.encode("utf-8", "replace").decode())


def clipped(text: str) -> str:
    """Return the beginning of a long text, and how much is left out."""
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}\n... {len(text) - MAX_SHOWN:,} more characters"


def share(value: float | None) -> str:
    """Return a score with three places; "unknown" where it was not measured."""
    return "unknown" if value is None else f"{value:.3f}"


def number(value: float | None) -> str:
    """Return a speed for people; "unknown" where it was not measured."""
    return "unknown" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def short(digest: str) -> str:
    """Return enough of a digest to tell it from others."""
    return digest.removeprefix("sha256:")[:8]


def day(moment: float) -> str:
    """Return a time as a date and minute, UTC; "unknown" where it was not stored."""
    if not 0 < moment < 1e11:
        return "unknown"
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
