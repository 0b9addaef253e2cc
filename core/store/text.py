"""Text made fit for any database, and titles."""

import math
from collections.abc import Mapping

from core.messages import JsonValue

MAX_TITLE_LENGTH = 80
UNTITLED = "New conversation"


def clean_text(text: str) -> str:
    """Drop NUL characters and replace halves of surrogate pairs: PostgreSQL stores neither."""
    if text.isascii() and "\x00" not in text:  # most texts, twenty times as fast
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\x00", "")


def clean_json(value: JsonValue) -> JsonValue:
    """Clean each text in a JSON value; numbers that JSON lacks become null."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean_text(key): clean_json(item) for key, item in value.items()}
    if value is None or isinstance(value, int):
        return value
    return [clean_json(item) for item in value]


def title_of(text: str) -> str:
    """Make a title of at most 80 characters from the first user message."""
    words = " ".join(clean_text(text).split())
    if len(words) <= MAX_TITLE_LENGTH:
        return words or UNTITLED
    return words[: MAX_TITLE_LENGTH - 1].rstrip() + "…"
