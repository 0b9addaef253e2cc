"""Why a call over the network failed, told from what the server said, in our words.

A server's own text is shown only where nothing else says what was wrong, and then without keys,
ids of organisations, and links.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.catalog import Target
from core.errors import (
    AppError,
    FailureKind,
    GenerationError,
    InputError,
    RateLimitError,
    UnavailableError,
)
from core.gateway.limit_notice import LimitNotice, read_notice
from core.providers.base import ProviderLimitError, failed

MAX_REASON = 300
MAX_READ = 4000
"""Characters of a server's text that are looked at."""
PRIVATE = re.compile(
    r"https?://\S+|\b(?:[\w-]{1,63}\.){1,5}[a-z]{2,6}/\S+|\S{1,64}@[\w-]{1,63}\.[\w.-]+"
    r"|\b(?:org|proj|user|acct|req)[-_](?=\w*\d)\w{6,}"
    r"|\b(?:sk|pk|gsk|hf|xai|nvapi)[-_][\w*.-]*[\w*]"
    r"|\b(?=[\w-]*\d)[\w-]{24,}"
)
"""Links and addresses, ids and keys by their usual beginnings, and what is long and has a digit."""

OF_STATUS: Mapping[int, FailureKind] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    409: "overloaded",
    410: "not_found",
    413: "context_too_long",
    429: "rate_limit_minute",
    498: "overloaded",
    504: "timeout",
}
"""498 is Groq's for a full flex tier; other 3xx, 4xx and 5xx: see `_of_status`."""
OF_CODE: Mapping[str, FailureKind] = {
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "permission_error": "auth",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "billing_error": "quota",
    "model_not_found": "not_found",
    "model_not_supported": "not_found",
    "model_decommissioned": "not_found",
    "deploymentnotfound": "not_found",
    "not_found_error": "not_found",
    "context_length_exceeded": "context_too_long",
    "exceed_context_size_error": "context_too_long",
    "request_too_large": "context_too_long",
    "string_above_max_length": "context_too_long",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "responsibleaipolicyviolation": "content_filter",
    "overloaded_error": "overloaded",
    "server_overloaded": "overloaded",
}
"""By the words for programs in an error's body, in lower case; they tell more than the status."""
OF_CODE_ALONE: Mapping[str, FailureKind] = {
    "rate_limit_exceeded": "rate_limit_minute",
    "rate_limit_error": "rate_limit_minute",
    "server_error": "overloaded",
    "internal_server_error": "overloaded",
    "api_error": "overloaded",
    "invalid_request_error": "refused",
}
"""The same for errors within a stream, which have no status to go by."""
OF_TEXT: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
    (
        re.compile(
            r"context (?:length|size|window)|(?:maximum|max) (?:context|prompt|sequence) length"
            r"|(?:prompt|input|request) (?:is )?too (?:long|large)|too many (?:input )?tokens"
            r"|reduce the length",
            re.IGNORECASE,
        ),
        "context_too_long",
    ),
    (
        re.compile(
            r"\bmodel\b.{1,120}\b(?:does not exist|not found|decommissioned)", re.IGNORECASE
        ),
        "not_found",
    ),
    (re.compile(r"(?:invalid|incorrect|missing|not valid).{0,20}api key", re.IGNORECASE), "auth"),
    (re.compile(r"api key (?:is )?(?:not valid|invalid|missing)", re.IGNORECASE), "auth"),
    (re.compile(r"\bcontent (?:filter|management policy)", re.IGNORECASE), "content_filter"),
    (re.compile(r"\boverloaded\b|at capacity|server busy", re.IGNORECASE), "overloaded"),
)
"""By the text, where a server has one word for everything it refuses; the first that fits."""
SURE_STATUSES = (401, 402, 408, 409, 429)
"""Which no code in the body overrules."""
VAGUE_STATUSES = (None, 400, 404, 422, 500)
"""Where the text tells more than the status."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a failure."""

    error: type[AppError]
    text: str
    """With {key}, {served}, {reason} and {when} for what they are in this call."""


ANSWERS: Mapping[FailureKind, Answer] = {
    "auth": Answer(UnavailableError, "refuses the key; check {key}"),
    "quota": Answer(UnavailableError, "has no credit left; check the account behind {key}"),
    "not_found": Answer(
        UnavailableError,
        "is not served as {served!r}; check base_url and served_model in the catalog",
    ),
    "rate_limit_minute": Answer(RateLimitError, "is at its provider's limit; try again {when}"),
    "rate_limit_day": Answer(
        RateLimitError, "is at its provider's limit for the day; try again {when}"
    ),
    "context_too_long": Answer(
        InputError, "can't take so long a request; shorten it or ask for fewer tokens"
    ),
    "content_filter": Answer(
        InputError, "is kept from answering by its provider's content filter; say it otherwise"
    ),
    "overloaded": Answer(UnavailableError, "is overloaded; try again later"),
    "timeout": Answer(UnavailableError, "did not answer in time; try again"),
    "connection": Answer(
        UnavailableError, "is out of reach; check base_url in the catalog and the connection"
    ),
    "malformed": Answer(GenerationError, "failed while answering: {reason}"),
    "refused": Answer(InputError, "refuses the request: {reason}"),
}
WORDS: Mapping[int, str] = {
    403: "is not allowed for this key; check what {key} may use",
    409: "is busy with another request; try again",
    500: "failed on the server's side; try again",
    502: "failed on the server's side; try again",
}
"""Better words for some statuses, when they decided the kind."""
REDIRECT = "answers with a redirect; check base_url in the catalog"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server said instead of an answer."""

    status: int | None
    """None within a stream that began well."""
    body: object
    """JSON value of the answer, or its text."""
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal_error(refusal: Refusal, target: Target, key: str) -> AppError:
    """Return the error that says the same to our callers; `key` is what must not be shown."""
    said, status = _said(refusal.body), refusal.status
    known = status or _status_within(refusal.body)
    notice = read_notice(known or 400, refusal.headers, refusal.body, time.time())
    kind = _kind(known, said, notice)
    if kind in ("rate_limit_minute", "rate_limit_day"):
        text = ANSWERS[kind].text.format(when=_when(notice.retry_after_s))
        return failed(ProviderLimitError(f"{target.id!r} {text}", notice), kind)
    words = None
    if known is not None and kind == _of_status(known):
        words = REDIRECT if known < 400 else WORDS.get(known)
    told = said_of(refusal.body, key)
    if kind == "context_too_long" and told:
        words = f"{ANSWERS[kind].text}: {{reason}}"
    silent = "it does not say why" + (f" (HTTP status {status})" if status else "")
    return failure(kind, target, reason=told or silent, words=words)


def failure(
    kind: FailureKind,
    target: Target,
    *,
    reason: str = "it does not say why",
    words: str | None = None,
) -> AppError:
    """Return the error of a kind; `words` replace our usual ones."""
    answer = ANSWERS[kind]
    text = (words or answer.text).format(
        key=target.model.key_variable or "the catalog: it names no key",
        served=target.model.served_model,
        reason=reason,
        when="later",
    )
    return failed(answer.error(f"{target.id!r} {text}"), kind)


def broken_off(target: Target) -> AppError:
    """Return the error of a connection that ended within an answer."""
    text = f"{target.id!r} broke off while answering; try again"
    return failed(GenerationError(text), "connection")


def key_of(target: Target, environment: Mapping[str, str]) -> str:
    """Return the key that the target's server wants; empty when it wants none.

    Raises:
        UnavailableError: what the environment holds can't be sent as a key.
    """
    key = environment.get(target.model.key_variable or "", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise failure("auth", target, words="has a key with odd characters; check {key}")
    return key


@dataclass(frozen=True, slots=True)
class _Said:
    message: str
    codes: tuple[str, ...]
    """For programs, in lower case; the finer one first."""


def _said(body: object) -> _Said:
    """Find the message and the codes, as OpenAI, Azure, Ollama and FastAPI wrap them."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, str):
        return _Said(error[:MAX_READ], ())
    if not isinstance(error, Mapping):
        return _Said("", ())
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, Mapping) else None
    codes = (inner_code, error.get("code"), error.get("type"))
    texts = (error.get("message"), error.get("detail"))
    message = next((text for text in texts if isinstance(text, str)), "")
    return _Said(message[:MAX_READ], tuple(code.lower() for code in codes if isinstance(code, str)))


def _status_within(body: object) -> int | None:
    """Return the status that some servers write into an error within a stream."""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    values = (str(error.get(name)) for name in ("status_code", "status", "code"))
    return next((int(v) for v in values if re.fullmatch("[45][0-9]{2}", v)), None)


def _kind(status: int | None, said: _Said, notice: LimitNotice) -> FailureKind:
    if notice.is_too_large:
        return "context_too_long"
    if notice.is_permanent:
        return "quota"
    codes = () if status in SURE_STATUSES else said.codes
    kinds = [OF_CODE[code] for code in codes if code in OF_CODE]
    if status is None:
        kinds += [OF_CODE_ALONE[code] for code in said.codes if code in OF_CODE_ALONE]
    elif status != 400 and not kinds:
        kinds = [_of_status(status)]
    if status in VAGUE_STATUSES and (not kinds or kinds[0] in ("refused", "overloaded")):
        kinds = [kind for pattern, kind in OF_TEXT if pattern.search(said.message)] + kinds
    kind = kinds[0] if kinds else ("malformed" if status is None else _of_status(status))
    return "rate_limit_day" if kind == "rate_limit_minute" and notice.is_day else kind


def _of_status(status: int) -> FailureKind:
    if status in OF_STATUS:
        return OF_STATUS[status]
    if status < 400:
        return "not_found"
    return "refused" if status < 500 else "overloaded"


def _when(wait_s: float | None) -> str:
    if wait_s is None:
        return "later"
    if wait_s < 120:
        return f"in {math.ceil(wait_s)} s"
    return f"in {math.ceil(wait_s / 60)} minutes"


def said_of(body: object, key: str) -> str:
    """Return the server's own words in one line, without what is private; empty when none."""
    message = _said(body).message
    hidden = message.replace(key, "…") if key else message
    return PRIVATE.sub("…", " ".join(hidden.split()))[:MAX_REASON]
