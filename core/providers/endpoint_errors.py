"""What the `openai` client raises, in our words.

A provider's own text is shown only where nothing else says what was wrong, and then without
keys, organisation ids and links.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from core.catalog import Target
from core.errors import (
    AppError,
    GenerationError,
    InputError,
    RateLimitError,
    UnavailableError,
)

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAIError

MAX_REASON = 300
PRIVATE = re.compile(
    r"https?://\S+"
    r"|\b(?:org|proj|user|acct|req)[-_](?=\w*\d)\w{6,}"
    r"|\b(?:sk|pk|gsk|hf|xai)[-_][\w*.-]*[\w*]"
)
"""Links, and ids and keys by their usual beginnings."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of an exception."""

    kind: type[AppError]
    text: str
    """With {key}, {served} and {reason} for what they are in this call."""


BROKEN = Answer(GenerationError, "failed while answering: {reason}")
REFUSED = Answer(InputError, "refuses the request: {reason}")
BY_CLASS: Mapping[str, Answer] = {
    "AuthenticationError": Answer(UnavailableError, "refuses the key; check {key}"),
    "PermissionDeniedError": Answer(
        UnavailableError, "is not allowed for this key; check what {key} may use"
    ),
    "NotFoundError": Answer(
        UnavailableError,
        "is not served as {served!r}; check base_url and served_model in the catalog",
    ),
    "RateLimitError": Answer(RateLimitError, "is at its provider's limit"),
    "BadRequestError": REFUSED,
    "UnprocessableEntityError": REFUSED,
    "ConflictError": Answer(UnavailableError, "is busy with another request; try again"),
    "APITimeoutError": Answer(UnavailableError, "did not answer in time; try again"),
    "APIConnectionError": Answer(
        UnavailableError, "is out of reach; check base_url in the catalog and the connection"
    ),
    "InternalServerError": Answer(UnavailableError, "failed on the server's side; try again"),
    "APIStatusError": Answer(UnavailableError, "answers with HTTP status {status}"),
    "APIError": BROKEN,
    "APIResponseValidationError": BROKEN,
    "OpenAIError": BROKEN,
}
"""By the exception's class or its nearest base here."""
BY_STATUS: Mapping[int, Answer] = {
    402: Answer(UnavailableError, "has no credit left; check the account behind {key}"),
    408: BY_CLASS["APITimeoutError"],
    413: Answer(InputError, "can't take so long a request; shorten it or ask for fewer tokens"),
}
"""Statuses for which the client has no class."""
NO_QUOTA = Answer(UnavailableError, "has no quota left; check the account behind {key}")


def app_error(error: "OpenAIError", target: Target, key: str) -> AppError:
    """Return the error that says the same to our callers."""
    import openai

    answer = next(BY_CLASS[k.__name__] for k in type(error).__mro__ if k.__name__ in BY_CLASS)
    status: int | None = None
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        answer = BY_STATUS.get(status, answer)
    if isinstance(error, openai.RateLimitError):
        if error.code == "insufficient_quota":
            answer = NO_QUOTA
        else:
            return _rate_limit(error, target, answer)
    text = answer.text.format(
        key=target.model.key_variable or "the catalog: it names no key",
        served=target.model.served_model,
        status=status,
        reason=_reason(error, key),
    )
    return answer.kind(f"{target.id!r} {text}")


def _rate_limit(error: "APIStatusError", target: Target, answer: Answer) -> RateLimitError:
    wait_s = retry_after(error.response.headers)
    when = "try again later" if wait_s is None else f"try again in {math.ceil(wait_s)} s"
    return RateLimitError(f"{target.id!r} {answer.text}; {when}", wait_s)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that an answer asks for; None when it does not.

    Source: RFC 9110, section 10.2.3: seconds or a date; `retry-after-ms` is OpenAI's.
    """
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    seconds = _number(milliseconds)
    if seconds is not None:
        return seconds / 1000
    if value is None or (seconds := _number(value)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _reason(error: "OpenAIError", key: str) -> str:
    """Return the provider's own words in one line, without what is private."""
    import openai

    body = error.body if isinstance(error, openai.APIError) else None
    said = body.get("message") if isinstance(body, dict) else None
    if not isinstance(said, str) or not said.strip():
        return "it does not say why"
    hidden = said.replace(key, "…") if key else said
    return PRIVATE.sub("…", " ".join(hidden.split()))[:MAX_REASON]
