"""Errors this project raises on purpose.

AppError
├── InputError            the caller asked for something impossible
│   ├── ModelNotAllowedError  the model or adapter is not in the catalog
│   └── ConflictError         it was done already, or it is too early
├── NotFoundError         a named task, run, adapter or conversation does not exist
├── ForbiddenError        the caller lacks the role for this
├── UnavailableError      a dependency is down or missing; retrying may help
│   ├── MissingExtraError     an optional package is not installed
│   └── RateLimitError        the caller asked too often; says when to come back
├── GenerationError       a model started and then failed
├── ScoringError          a scorer could not judge an output
├── TrainingError         a run could not start, or stopped early
└── StorageError          saved data could not be read or written
"""

from typing import Literal, get_args

FailureKind = Literal[
    "auth",
    "quota",
    "not_found",
    "rate_limit_minute",
    "rate_limit_day",
    "context_too_long",
    "content_filter",
    "overloaded",
    "timeout",
    "connection",
    "malformed",
    "refused",
]
"""Why a model call failed. `quota`: no credit left, until a person acts. `refused`: the request
itself is wrong, so every other attempt would fail too."""
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


class AppError(Exception):
    """Base of every error we raise on purpose; its text is shown to the user."""

    code = "APP_ERROR"
    """Stable word for programs, in JSON errors."""
    status = 500
    """HTTP status that says the same."""
    failure: FailureKind | None = None
    """Set by providers: why the model call failed; None for every other error."""


class InputError(AppError):
    """The caller asked for something impossible."""

    code = "INVALID_REQUEST"
    status = 400


class ModelNotAllowedError(InputError):
    """The model or adapter is not in the catalog."""

    code = "MODEL_NOT_ALLOWED"
    status = 403


class ConflictError(InputError):
    """It was done already, or it is too early."""

    code = "CONFLICT"
    status = 409


class NotFoundError(AppError):
    """A named task, run, adapter or conversation does not exist."""

    code = "NOT_FOUND"
    status = 404


class ForbiddenError(AppError):
    """The caller lacks the role for this."""

    code = "FORBIDDEN"
    status = 403


class UnavailableError(AppError):
    """A dependency is down or missing; retrying may help."""

    code = "UNAVAILABLE"
    status = 503


class MissingExtraError(UnavailableError):
    """An optional package is not installed."""

    code = "MISSING_EXTRA"


class RateLimitError(UnavailableError):
    """The caller asked too often; the text says when to come back."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
        """Seconds after which it is worth trying again; None when unknown."""


class GenerationError(AppError):
    """A model started and then failed."""

    code = "GENERATION_FAILED"
    status = 500


class ScoringError(AppError):
    """A scorer could not judge an output."""

    code = "SCORING_FAILED"


class TrainingError(AppError):
    """A run could not start, or stopped early."""

    code = "TRAINING_FAILED"


class StorageError(AppError):
    """Saved data could not be read or written."""

    code = "STORAGE_FAILED"
