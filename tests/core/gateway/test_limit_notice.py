"""What servers say of their limits, in their own words."""

import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.gateway.buckets import DAY_S, MINUTE_S, law_wait_s
from core.gateway.limit_headers import duration_s, window_of
from core.gateway.limit_notice import BucketReading, LimitNotice, read_notice
from tests.limited_provider import LimitedProvider, VirtualClock, go_duration

NOW = 1_790_000_000.0
GROQ = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_01` service tier "
    "`on_demand` on {what}: Limit {limit}, Used {used}, Requested {requested}. Please try again in "
    "{wait}. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
)
GROQ_OLD = (
    "Rate limit reached for model `llama3-70b-8192` in organization `org_01` on {what}: "
    "Limit {limit}, Used {used}, Requested ~{requested}. Please try again in {wait}. Visit "
    "https://console.groq.com/docs/rate-limits for more information."
)
OPENAI = (
    "Rate limit reached for gpt-4o in organization org-01 on {what}: Limit {limit}, Used {used}, "
    "Requested {requested}. Please try again in {wait}. Visit "
    "https://platform.openai.com/account/rate-limits to learn more."
)
TPM, TPD, OPENAI_TPM = "tokens per minute (TPM)", "tokens per day (TPD)", "tokens per min (TPM)"
REAL = [
    (GROQ, TPD, 100000, 97050, 3619, "9m38.016s", 578.016),
    (GROQ, TPD, 100000, 94976, 5632, "8m45.312s", 525.312),
    (GROQ, TPM, 12000, 4437, 9854, "11.455s", 11.455),
    (GROQ, TPM, 12000, 2542, 9855, "1.984999999s", 1.984999999),
    (GROQ, TPM, 6000, 5034, 1443, "4.77s", 4.77),
    (GROQ_OLD, TPM, 7000, 0, 12903, "50.597142857s", 50.597142857),
    (GROQ_OLD, "", 500000, 500370, 252, "1m47.585s", 107.585),
    (OPENAI, OPENAI_TPM, 30000, 29937, 385, "644ms", 0.644),
    (OPENAI, OPENAI_TPM, 10000, 8554, 3082, "9.816s", 9.816),
    (OPENAI, OPENAI_TPM, 30000, 14567, 24754, "18.642s", 18.642),
    (OPENAI, OPENAI_TPM, 30000, 18928, 11159, "174ms", 0.174),
    (OPENAI, OPENAI_TPM, 30000, 28039, 3906, "3.89s", 3.89),
    (OPENAI, OPENAI_TPM, 30000, 22343, 10955, "6.596s", 6.596),
]


def body(message: str, **more: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded", **more}}


def refusal(message: str, **headers: str) -> LimitNotice:
    return read_notice(429, headers, body(message), NOW)


@pytest.mark.parametrize(("form", "what", "limit", "used", "requested", "wait", "seconds"), REAL)
def test_the_thirteen_real_messages_are_read_and_the_law_predicts_their_waits(
    form: str, what: str, limit: int, used: int, requested: int, wait: str, seconds: float
) -> None:
    text = form.format(what=what, limit=limit, used=used, requested=requested, wait=wait)
    window = DAY_S if "day" in what or not what else MINUTE_S
    expected = LimitNotice(
        retry_after_s=seconds,
        is_permanent=False,
        is_day=window == DAY_S,
        exhausted=BucketReading("tokens", window, limit, used, requested),
        buckets=(),
        is_refused=True,
    )
    notice = refusal(text)
    assert notice.exhausted is not None
    assert notice.exhausted.used is not None
    whole = replace(notice.exhausted, used=math.floor(notice.exhausted.used))
    assert replace(notice, exhausted=whole) == expected
    assert read_notice(429, {}, text, NOW) == notice
    tolerance = {"abs": 1e-6} if what else {"rel": 1e-3}
    assert law_wait_s(limit, used, requested, window) == pytest.approx(seconds, **tolerance)


@given(
    limit=st.integers(1000, 10_000_000),
    used_share=st.floats(0.5, 1.0),
    requested_share=st.floats(0.55, 1.0),
    window=st.sampled_from([MINUTE_S, DAY_S]),
)
def test_a_wait_that_the_law_gives_is_read_back_and_shows_its_window(
    limit: int, used_share: float, requested_share: float, window: float
) -> None:
    used, requested = math.ceil(limit * used_share), math.ceil(limit * requested_share)
    seconds = law_wait_s(limit, used, requested, window)
    wait = go_duration(seconds)
    text = GROQ.format(what="", limit=limit, used=used, requested=requested, wait=wait)
    notice = refusal(text)
    assert notice.retry_after_s == pytest.approx(seconds, abs=2e-9, rel=1e-12)
    assert notice.exhausted == BucketReading("tokens", window, limit, used, requested)


def test_the_wait_tells_the_fraction_that_the_count_leaves_out() -> None:
    """Trap: 29.12 requests of 30 were told as 29, and the next call came too early again."""
    text = GROQ.format(
        what="requests per minute (RPM): ", limit=30, used=29, requested=1, wait="240ms"
    )
    exhausted = refusal(text).exhausted
    assert exhausted is not None
    assert exhausted.used == pytest.approx(29.12)


@given(st.integers(0, 30 * 86_400 * 10**9))
@example(450_000_000)
def test_every_duration_of_a_go_server_is_read(nanoseconds: int) -> None:
    seconds = nanoseconds / 1e9
    assert duration_s(go_duration(seconds)) == pytest.approx(seconds, abs=2e-9, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m26.4s", 86.4),
        ("450ms", 0.45),
        ("2m59.56s", 179.56),
        ("6m0s", 360.0),
        ("1h2m", 3720.0),
        ("7.66s", 7.66),
        ("1m47.5854s", 107.5854),
        ("6ms", 0.006),
        ("17", 17.0),
        ("2.5", 2.5),
        ("500µs", 0.0005),
        ("1d2h", 93_600.0),
        ("1 minute and 30 seconds", 90.0),
        ("0s", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("-5s", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("5x", None),
        ("ms", None),
        ("1_0s", None),
        ("9999999h", None),
        ("9" * 400, None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


def test_450_milliseconds_are_not_sixty_seconds() -> None:
    assert refusal("Please try again in 450ms.").retry_after_s == 0.45


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 7m12.5s.", 432.5),
        ("Rate limit reached. Please try again in 20s. Contact us", 20.0),
        ("try again in 432 seconds", 432.0),
        ("Please retry after 86400 seconds.", 86_400.0),
        ("Please retry in 41.5s.", 41.5),
        ("Please try again in 1 hour and 5 minutes", 3900.0),
        ("please try again", None),
        ("Please try again in 5 parsecs", None),
    ],
)
def test_waits_in_texts(message: str, seconds: float | None) -> None:
    assert refusal(message).retry_after_s == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"Retry-After": "2.5"}, 2.5),
        ({"retry-after": "432"}, 432.0),
        ({"retry-after": "7m12s"}, 432.0),
        ({"retry-after-ms": "644", "retry-after": "1"}, 0.644),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "99999999999"}, None),
        ({"retry-after": "Wed, 99 Foo 2026"}, None),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_notice(429, headers, None, NOW).retry_after_s == seconds


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    assert read_notice(429, {"retry-after": later}, None, NOW).retry_after_s == 90.0
    past = format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True)
    assert read_notice(429, {"retry-after": past}, None, NOW).retry_after_s == 0.0


def test_the_longest_stated_time_counts() -> None:
    assert refusal("try again in 1.985s", **{"retry-after": "2"}).retry_after_s == 2.0
    assert refusal("try again in 9m38s", **{"retry-after": "2"}).retry_after_s == 578.0


def test_groqs_request_headers_are_for_the_day_and_its_token_headers_for_the_minute() -> None:
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "15702",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    notice = read_notice(200, headers, None, NOW)
    assert notice.buckets == (
        BucketReading("requests", DAY_S, 14400, 30),
        BucketReading("tokens", MINUTE_S, 18000, 2298),
    )
    assert (notice.is_refused, notice.retry_after_s, notice.exhausted) == (False, None, None)


def test_openais_headers_are_for_the_minute() -> None:
    headers = {
        "X-RateLimit-Limit-Requests": "60",
        "X-RateLimit-Remaining-Requests": "59",
        "X-RateLimit-Reset-Requests": "1s",
    }
    assert read_notice(200, headers, None, NOW).buckets == (
        BucketReading("requests", MINUTE_S, 60, 1),
    )


def test_anthropics_reset_is_a_moment() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "40",
        "anthropic-ratelimit-requests-reset": datetime.fromtimestamp(NOW + 12, UTC).isoformat(),
        "anthropic-ratelimit-tokens-limit": "40000",
        "anthropic-ratelimit-tokens-remaining": "30000",
        "anthropic-ratelimit-tokens-reset": datetime.fromtimestamp(NOW + 15, UTC)
        .isoformat()
        .replace("+00:00", "Z"),
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "0",
        "anthropic-ratelimit-output-tokens-reset": "2026-09-21T14:13:20Z",
    }
    assert read_notice(200, headers, None, NOW).buckets == (
        BucketReading("requests", MINUTE_S, 50, 10),
        BucketReading("tokens", MINUTE_S, 40000, 10000),
    )


@pytest.mark.parametrize(
    ("remaining", "reset"), [("60", "0s"), ("99", "1s"), ("30", "0s"), ("59", "100h"), ("x", "1s")]
)
def test_a_window_that_nothing_shows_is_unknown(remaining: str, reset: str) -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": remaining,
        "x-ratelimit-reset-requests": reset,
    }
    assert read_notice(200, headers, None, NOW).buckets == ()


@given(
    limit=st.integers(1, 10**9),
    share=st.floats(0.001, 1.0),
    window=st.sampled_from([MINUTE_S, DAY_S]),
)
def test_the_law_shows_the_window(limit: int, share: float, window: float) -> None:
    used = limit * share
    assert window_of(limit, used, used / (limit / window)) == window


@pytest.mark.parametrize(
    ("message", "unit", "window"),
    [
        (
            "on requests per minute (RPM): Limit 30, Used 30, Requested 1. try again in 2s",
            "requests",
            60,
        ),
        ("on requests per day (RPD): Limit 1,000, Used 1,000, Requested 1.", "requests", 86400),
        ("on tokens per min. Limit: 10000 / min. Please try again in 6ms.", "tokens", 60),
        ("on requests per min. Limit: 60 / min. Current: 70 / min.", "requests", 60),
    ],
)
def test_units_and_windows_in_texts(message: str, unit: str, window: float) -> None:
    found = refusal("Rate limit reached for m in organization org-01 " + message).exhausted
    assert found is not None
    assert (found.unit, found.window_s) == (unit, window)


def test_the_old_form_leaves_open_what_it_does_not_say() -> None:
    text = (
        "Rate limit reached for m on tokens per min. Limit: 10000 / min. Please try again in 6ms."
    )
    notice = refusal(text)
    assert notice.exhausted == BucketReading("tokens", MINUTE_S, 10000, None)
    assert notice.retry_after_s == 0.006


PERMANENT = [
    (413, body("Payload Too Large")),
    (429, body("You exceeded your current quota, please check your plan and billing details.")),
    (429, {"error": {"message": "", "type": "insufficient_quota", "code": "insufficient_quota"}}),
    (429, {"error": {"message": "", "code": "billing_hard_limit_reached"}}),
    (429, body("You have reached your specified API usage limits: spend limit reached.")),
    (402, body("You have exceeded your monthly included credits for Inference Providers.")),
    (403, body("NOT_ENOUGH_BALANCE")),
    (400, body("Your credit balance is too low to access the Anthropic API.")),
]


@pytest.mark.parametrize(("status", "what"), PERMANENT)
def test_what_no_wait_mends_is_permanent(status: int, what: object) -> None:
    notice = read_notice(status, {"retry-after": "5"}, what, NOW)
    assert notice.is_permanent
    assert notice.is_refused
    assert notice.retry_after_s is None
    assert notice.is_too_large == (status == 413)


def test_a_request_that_is_too_large_tells_the_limit() -> None:
    text = (
        "Request too large for model `m` in organization `org_01` on tokens per minute (TPM): "
        "Limit 6000, Requested 12328, please reduce your message size and try again."
    )
    for status in (413, 429):
        notice = read_notice(status, {}, body(text), NOW)
        assert (notice.is_permanent, notice.is_too_large) == (True, True)
        assert notice.exhausted == BucketReading("tokens", MINUTE_S, 6000, None, 12328)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "Please try again in 2s. See https://console.groq.com/settings/billing-limit"),
        (429, "You exceeded your current quota, please check your plan. Please retry in 36s."),
        (400, "invalid message: 'insufficient quota, credit balance is too low'"),
        (500, "insufficient_quota"),
        (404, "no billing limit page"),
    ],
)
def test_a_limit_of_a_minute_or_a_quotation_is_not_permanent(status: int, text: str) -> None:
    assert not read_notice(status, {}, body(text, code="x"), NOW).is_permanent


def test_googles_list_and_bare_texts_are_read() -> None:
    listed = [{"error": {"code": 429, "message": "Quota exceeded. Please retry in 41.5s."}}]
    assert read_notice(429, {}, listed, NOW).retry_after_s == 41.5
    assert read_notice(429, {}, '[{"error": {"message": "retry in 3s"}}]', NOW).retry_after_s == 3
    assert read_notice(429, {}, {"message": "try again in 3s"}, NOW).retry_after_s == 3
    assert read_notice(429, {}, '{"error": "try again in 3s"}', NOW).retry_after_s == 3
    assert read_notice(429, {}, b"try again in 3s", NOW).retry_after_s == 3


def test_a_day_is_told_from_a_minute() -> None:
    assert refusal("limit per day reached").is_day
    assert refusal("daily quota_exceeded").is_day
    assert read_notice(429, {"retry-after": "432"}, None, NOW).is_day
    assert not read_notice(429, {"retry-after": "43"}, None, NOW).is_day


def test_an_overloaded_server_may_name_a_time_without_refusing_for_a_limit() -> None:
    notice = read_notice(503, {"retry-after": "30"}, "Service Unavailable", NOW)
    assert (notice.retry_after_s, notice.is_refused, notice.exhausted) == (30.0, False, None)


@pytest.mark.parametrize("style", ["groq", "openai", "anthropic"])
def test_what_the_limited_provider_says_is_read_as_meant(style: str) -> None:
    clock = VirtualClock()
    provider = LimitedProvider(clock, {"RPM": 3, "TPM": 1000}, style)  # type: ignore[arg-type] -- from a list
    for _ in range(3):
        assert provider.ask(100).status == 200
    reply = provider.ask(100)
    notice = read_notice(reply.status, reply.headers, reply.body, clock())
    assert reply.status == 429
    assert notice.retry_after_s == pytest.approx(20, abs=1e-6)
    assert not notice.is_day
    if style != "anthropic":
        assert notice.exhausted == BucketReading("requests", MINUTE_S, 3, 3, 1)


HOSTILE = [
    "[" * 90_000,
    '{"error":' * 20_000,
    "Limit " + "9" * 1_000_000,
    "try again in " + "1m" * 500_000,
    "try again in " * 80_000,
    "https://" + "a" * 1_000_000,
    "Limit 1" + ",1" * 500_000,
    "1 " * 500_000,
    "\x00" * 1000,
    '{"error": {"message": NaN, "code": 1e999}}',
    '{"error": {"message": ["a"], "code": {"a": 1}}}',
    "Limit 0, Used 0, Requested 0. Please try again in 0s",
    "on tokens per min (TPM): Limit 99999999999999999999, Used -5, Requested ~. try again in -3s",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_read_quickly_and_give_nothing(text: str) -> None:
    began = time.process_time()
    notice = read_notice(429, {"retry-after": text[:100_000]}, text, NOW)
    assert time.process_time() - began < 1.0
    assert not notice.retry_after_s
    assert notice.exhausted is None
    assert not notice.is_permanent


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "retry-after",
                "retry-after-ms",
                *(
                    f"{a}-{b}"
                    for a in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
                    for b in ("requests", "tokens")
                ),
                "anthropic-ratelimit-tokens-reset",
            ]
        ),
        st.one_of(
            st.text(max_size=30),
            st.integers().map(str),
            st.floats().map(str),
            st.datetimes().map(str),
            st.sampled_from(["1s", "0", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00Z"]),
        ),
    ),
    what=st.recursive(
        st.one_of(st.none(), st.text(), st.floats(), st.binary(max_size=20)),
        lambda inner: st.one_of(
            st.lists(inner), st.dictionaries(st.sampled_from(["error", "message", "code"]), inner)
        ),
    ),
)
def test_nothing_that_comes_in_is_an_exception_or_an_impossible_number(
    status: int, headers: dict[str, str], what: object
) -> None:
    notice = read_notice(status, headers, what, NOW)
    seconds = notice.retry_after_s
    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= 32 * DAY_S)
    for reading in notice.buckets:
        assert reading.limit > 0
        assert reading.used is not None
        assert math.isfinite(reading.used)
        assert reading.window_s in (MINUTE_S, DAY_S)
