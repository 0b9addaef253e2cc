"""One taxonomy for all that can go wrong on the way to a model, and no secret in its words."""

import json
import sys

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    FAILURE_KINDS,
    AppError,
    GenerationError,
    InputError,
    RateLimitError,
    UnavailableError,
)
from core.providers import failures
from core.providers.base import ProviderLimitError
from core.providers.endpoint_errors import BY_CLASS, app_error
from core.providers.failures import Refusal, refusal_error
from tests.core.providers.calls import KEY, target_of

TARGET = target_of("http://127.0.0.1:9")
PRIVATE = (
    f"see https://x.io/billing?org=1 or console.x.com/settings/billing of org-abc12345, project "
    f"proj_12ab34cd, key {KEY}, sk-x1*y2, 0123456789abcdef0123456789abcdef, me@my.org"
)
SECRETS = (KEY, "https", "console.", "abc12345", "12ab34cd", "x1*y2", "89abcdef", "@my")
BODY = {"error": {"message": f"no; {PRIVATE}", "type": "some_error"}}


def said(message: str = PRIVATE, **more: object) -> dict:
    return {"error": {"message": message, **more}}


GROQ_DAY = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_01abcdef2345` "
    "service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. "
    "Please try again in 9m38.016s. Need more tokens? Upgrade to Dev Tier today at "
    "https://console.groq.com/settings/billing"
)
GROQ_LARGE = (
    "Request too large for model `llama-3.1-8b-instant` in organization `org_01abcdef2345` service "
    "tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your "
    "message size and try again."
)
CASES = [
    (400, BODY, "refused", InputError, "'far' refuses the request: no; see … or … of …, project …"),
    (400, {}, "refused", InputError, "refuses the request: it does not say why (HTTP status 400)"),
    (
        400,
        said(code="context_length_exceeded"),
        "context_too_long",
        InputError,
        "shorten it or ask",
    ),
    (
        400,
        said("This model's maximum context length is 8192 tokens"),
        "context_too_long",
        InputError,
        "fewer tokens: This model's maximum context length is 8192 tokens",
    ),
    (
        400,
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too big"}},
        "context_too_long",
        InputError,
        "can't take so long a request",
    ),
    (
        400,
        said(
            "filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}
        ),
        "content_filter",
        InputError,
        "content filter; say it otherwise",
    ),
    (400, said("it's decommissioned", code="model_decommissioned"), "not_found", None, "'lead'"),
    (400, said("API key not valid. Please pass one."), "auth", UnavailableError, "check MY_KEY"),
    (400, said("Your credit balance is too low to"), "quota", UnavailableError, "no credit left"),
    (401, BODY, "auth", UnavailableError, "refuses the key; check MY_KEY"),
    (402, BODY, "quota", UnavailableError, "has no credit left; check the account behind MY_KEY"),
    (403, BODY, "auth", UnavailableError, "is not allowed for this key; check what MY_KEY may use"),
    (
        404,
        BODY,
        "not_found",
        UnavailableError,
        "is not served as 'lead'; check base_url and served",
    ),
    (404, said(code="DeploymentNotFound"), "not_found", UnavailableError, "not served as 'lead'"),
    (404, said(code="model_not_found"), "not_found", UnavailableError, "not served as 'lead'"),
    (408, BODY, "timeout", UnavailableError, "did not answer in time"),
    (409, BODY, "overloaded", UnavailableError, "is busy with another request"),
    (413, said(GROQ_LARGE, code="rate_limit_exceeded"), "context_too_long", InputError, "12328"),
    (413, BODY, "context_too_long", InputError, "can't take so long a request; shorten it"),
    (418, BODY, "refused", InputError, "refuses the request: no"),
    (422, {"detail": "bad field"}, "refused", InputError, "refuses the request: bad field"),
    (
        429,
        BODY,
        "rate_limit_minute",
        ProviderLimitError,
        "at its provider's limit; try again later",
    ),
    (429, said(GROQ_DAY), "rate_limit_day", ProviderLimitError, "for the day; try again in 10 min"),
    (429, said(GROQ_LARGE), "context_too_long", InputError, "shorten it or ask for fewer tokens"),
    (429, said(code="insufficient_quota"), "quota", UnavailableError, "no credit left"),
    (
        429,
        said("You have exceeded your monthly included credits for Inference Providers."),
        "quota",
        UnavailableError,
        "no credit left",
    ),
    (498, BODY, "overloaded", UnavailableError, "overloaded"),
    (500, BODY, "overloaded", UnavailableError, "failed on the server's side"),
    (502, "<html>", "overloaded", UnavailableError, "failed on the server's side"),
    (503, {"error": "Model too busy"}, "overloaded", UnavailableError, "is overloaded; try again"),
    (504, BODY, "timeout", UnavailableError, "did not answer in time"),
    (529, said(type="overloaded_error"), "overloaded", UnavailableError, "is overloaded"),
    (None, said(type="server_error"), "overloaded", UnavailableError, "overloaded"),
    (None, said(code="rate_limit_exceeded"), "rate_limit_minute", ProviderLimitError, "at its"),
    (None, said("busy", code="503"), "overloaded", UnavailableError, "overloaded"),
    (None, said("what?"), "malformed", GenerationError, "failed while answering: what?"),
    (None, "boom", "malformed", GenerationError, "failed while answering: boom"),
]


@pytest.mark.parametrize(("status", "body", "kind", "error", "text"), CASES)
def test_what_a_server_says_has_one_kind(status, body, kind, error, text):
    found = refusal_error(Refusal(status, body), TARGET, KEY)
    assert found.failure == kind
    assert error is None or type(found) is error
    assert text in str(found)
    assert "\n" not in str(found)
    assert not [secret for secret in SECRETS if secret in str(found)]
    assert "org_01" not in str(found)


def test_every_kind_has_words_and_comes_up():
    assert set(failures.ANSWERS) == set(FAILURE_KINDS)
    assert {case[2] for case in CASES} | {"connection"} == set(FAILURE_KINDS)


@pytest.mark.parametrize(
    ("headers", "wait_s", "text"),
    [
        ({"retry-after": "7"}, 7.0, "in 7 s"),
        ({"retry-after": "0.5"}, 0.5, "in 1 s"),
        ({"retry-after": "7", "retry-after-ms": "450"}, 0.45, "in 1 s"),
        ({"retry-after": "600"}, 600.0, "in 10 minutes"),
        ({"retry-after": "soon"}, None, "later"),
        ({"retry-after": "-3"}, None, "later"),
        ({}, None, "later"),
    ],
)
def test_how_long_to_wait(headers, wait_s, text):
    found = refusal_error(Refusal(429, {}, headers), TARGET, KEY)
    assert isinstance(found, ProviderLimitError)
    assert isinstance(found, RateLimitError)
    assert found.retry_after_s == found.notice.retry_after_s == wait_s
    assert str(found).endswith(f"try again {text}")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "status", "detail", "innererror"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.none() | st.integers(300, 599), values)
def test_whatever_a_server_says_becomes_one_of_our_errors(status, body):
    found = refusal_error(Refusal(status, body), TARGET, KEY)
    assert found.failure in FAILURE_KINDS
    assert str(found).startswith("'far' ")


@given(st.text(max_size=50), st.text(max_size=50))
def test_the_key_is_never_shown(before, after):
    found = refusal_error(Refusal(400, said(before + KEY + after)), TARGET, KEY)
    assert KEY not in str(found)


# The client library's own exceptions


KINDS: dict[str, str] = {
    "APIConnectionError": "connection",
    "APIError": "malformed",
    "APIRemovedInV1": "malformed",
    "APIResponseValidationError": "malformed",
    "APIStatusError": "refused",
    "APITimeoutError": "timeout",
    "AuthenticationError": "auth",
    "BadRequestError": "refused",
    "ConflictError": "overloaded",
    "ContentFilterFinishReasonError": "content_filter",
    "InternalServerError": "overloaded",
    "LengthFinishReasonError": "malformed",
    "MutuallyExclusiveAuthError": "auth",
    "NotFoundError": "not_found",
    "OAuthError": "auth",
    "OpenAIError": "malformed",
    "PermissionDeniedError": "auth",
    "RateLimitError": "rate_limit_minute",
    "StreamAlreadyConsumed": "malformed",
    "SubjectTokenProviderError": "auth",
    "UnprocessableEntityError": "refused",
    "WebSocketConnectionClosedError": "malformed",
    "WebSocketQueueFullError": "malformed",
    "_AmbiguousModuleClientUsageError": "malformed",
}
STATUSES = {"InternalServerError": 500, "OAuthError": 401, "APIStatusError": 418}
NOT_OURS = {
    "InvalidWebhookSignatureError": "of webhooks, which we don't receive",
    "MissingStreamClassError": "a mistake within the client",
    "_TransientTokenExchangeError": "of signing in with other services; we send keys",
}


def exceptions_of_the_client() -> dict[str, type[Exception]]:
    """Return every exception class in the modules of the client that a call loads."""
    loads = [openai.AsyncOpenAI(api_key=KEY).chat.completions, openai.AsyncAzureOpenAI]
    assert all(loads)
    modules = [m for n, m in list(sys.modules.items()) if n == "openai" or n.startswith("openai.")]
    return {
        name: value
        for module in modules
        for name, value in list(vars(module).items())
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__.startswith("openai")
    }


def bare(kind: type[Exception]) -> Exception:
    """Return an exception of this class as the client makes it, as far as we read it."""
    error = kind.__new__(kind)
    Exception.__init__(error, f"see https://x.io, {KEY}")
    if isinstance(error, openai.APIError):
        error.body, error.code = {"message": f"see https://x.io, {KEY}"}, None
    if isinstance(error, openai.APIConnectionError):
        error.body = None
    if isinstance(error, openai.APIStatusError):
        error.status_code = STATUSES.get(kind.__name__) or kind.status_code
        error.response = type("Answer", (), {"headers": {}})()
    return error


def test_every_exception_of_the_client_has_one_kind():
    found = exceptions_of_the_client()
    ours = {name: kind for name, kind in found.items() if issubclass(kind, openai.OpenAIError)}
    assert {"OpenAIError", "RateLimitError", "MutuallyExclusiveAuthError"} <= set(ours)
    assert set(ours) - set(KINDS) == set(), "decide what a new exception class becomes"
    assert set(KINDS) - set(ours) == set()
    others = {n for n, k in found.items() if not issubclass(k, openai.OpenAIError)}
    assert others - set(NOT_OURS) == set(), "decide whether a call can raise it"
    for name, kind in ours.items():
        error = app_error(bare(kind), TARGET, KEY)
        assert isinstance(error, AppError), name
        assert error.failure == KINDS[name], name
        assert str(error).startswith("'far' "), name
        assert KEY not in str(error), name
        assert "https://" not in str(error), name
    assert set(BY_CLASS) <= set(ours)


def test_a_body_may_be_any_json():
    for text in ("null", "5", '"x"', "[]", '[{"error": {"message": "x"}}]', '{"error": null}'):
        found = refusal_error(Refusal(400, json.loads(text)), TARGET, KEY)
        assert found.failure == "refused"
