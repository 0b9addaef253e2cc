"""What the `openai` client raises, by kind of failure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.catalog import Target
from core.errors import AppError, FailureKind
from core.providers.failures import Refusal, broken_off, failure, refusal_error

if TYPE_CHECKING:
    from openai import OpenAIError

BY_CLASS: Mapping[str, FailureKind] = {
    "AuthenticationError": "auth",
    "PermissionDeniedError": "auth",
    "SubjectTokenProviderError": "auth",
    "MutuallyExclusiveAuthError": "auth",
    "NotFoundError": "not_found",
    "RateLimitError": "rate_limit_minute",
    "BadRequestError": "refused",
    "UnprocessableEntityError": "refused",
    "ConflictError": "overloaded",
    "InternalServerError": "overloaded",
    "APIStatusError": "refused",
    "APITimeoutError": "timeout",
    "APIConnectionError": "connection",
    "ContentFilterFinishReasonError": "content_filter",
    "OpenAIError": "malformed",
}
"""By the exception's class or its nearest base here; a status or a body tells more."""


def app_error(
    error: "OpenAIError", target: Target, key: str, *, has_begun: bool = False
) -> AppError:
    """Return the error that says the same to our callers.

    `has_begun`: whether a part of the answer came before.
    """
    import openai

    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        return refusal_error(Refusal(error.status_code, error.body, headers), target, key)
    kind = next(BY_CLASS[k.__name__] for k in type(error).__mro__ if k.__name__ in BY_CLASS)
    if kind == "connection" and has_begun:
        return broken_off(target)
    if isinstance(error, openai.APIError) and error.body is not None:
        return refusal_error(Refusal(None, error.body), target, key)
    return failure(kind, target)
