import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route

from core.access import ADMIN_COOKIE, VISITOR_COOKIE, Access, AccessMiddleware, Caller
from core.errors import InputError
from core.login import login_routes
from tests.serving import serve

SECRET = b"0123456789abcdef"
TOKEN = "a long enough token"
LOCAL = {"Host": "localhost:7860"}


def with_token(**changes) -> Access:
    return Access(**{"secret": SECRET, "admin_token": TOKEN, "trust_loopback": False, **changes})


def trusting() -> Access:
    return Access(SECRET, None, trust_loopback=True)


def value_of(cookie: str) -> str:
    return cookie.partition("=")[2].partition(";")[0]


def admin(access: Access, headers=LOCAL, cookies=None, host: str | None = "127.0.0.1") -> bool:
    return access.caller_of(headers, cookies or {}, host).is_admin


@pytest.mark.parametrize(
    "settings",
    [
        {"secret": b"short"},
        {"trust_loopback": True},
        {"admin_token": None, "trust_loopback": True, "is_space": True},
    ],
)
def test_what_would_be_unsafe_is_refused_at_start(settings):
    with pytest.raises(InputError):
        with_token(**settings)


def test_a_visitor_is_known_by_the_signed_cookie_only():
    access = with_token()
    value = value_of(access.visitor_cookie(is_https=False))
    visitor = access.caller_of({}, {VISITOR_COOKIE: value}, None).visitor
    assert visitor is not None
    assert len(visitor) == 32
    assert access.visitor_cookie(False) != access.visitor_cookie(False)
    other = with_token(secret=b"fedcba9876543210")
    for forged in ("", visitor, f"{visitor}.x", value + "A", value.upper(), "é", "\ud800"):
        caller = access.caller_of({}, {VISITOR_COOKIE: forged}, None)
        assert caller == Caller(None, is_admin=False)
    assert other.caller_of({}, {VISITOR_COOKIE: value}, None).visitor is None


def test_an_admin_cookie_is_no_visitor_and_a_visitor_no_admin():
    access = with_token()
    visitor, signed = value_of(access.visitor_cookie(False)), value_of(access.admin_cookie(False))
    assert not admin(access, cookies={ADMIN_COOKIE: visitor})
    assert access.caller_of({}, {VISITOR_COOKIE: signed}, None).visitor is None


def test_cookie_attributes():
    plain, space = with_token(), with_token(is_space=True)
    year, hours = 365 * 24 * 3600, 8 * 3600
    ends = f"; Max-Age={year}; Path=/; HttpOnly; SameSite=Lax"
    assert plain.visitor_cookie(False).endswith(ends)
    assert plain.visitor_cookie(True).endswith(ends + "; Secure")
    framed = f"; Max-Age={year}; Path=/; HttpOnly; SameSite=None; Secure; Partitioned"
    assert space.visitor_cookie(False).endswith(framed)
    assert f"; Max-Age={hours}; Path=/; HttpOnly; SameSite=None; Secure" in space.admin_cookie(True)


def test_an_admin_cookie_ends_after_eight_hours(monkeypatch):
    access = with_token()
    now = time.time()
    cookies = {ADMIN_COOKIE: value_of(access.admin_cookie(False))}
    # itsdangerous takes no clock.
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 8 * 3600 - 5)
    assert admin(access, cookies=cookies)
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + 8 * 3600 + 5)
    assert not admin(access, cookies=cookies)


def test_a_changed_or_removed_token_ends_old_sessions():
    cookies = {ADMIN_COOKIE: value_of(with_token().admin_cookie(False))}
    assert admin(with_token(), cookies=cookies)
    assert not admin(with_token(admin_token="another long token"), cookies=cookies)
    assert not admin(with_token(admin_token=None), cookies=cookies)


def test_another_sites_page_cannot_use_the_admin_cookie():
    access = with_token()
    cookies = {ADMIN_COOKIE: value_of(access.admin_cookie(False))}
    base = {"host": "stage.example"}
    assert admin(access, {**base, "origin": "https://stage.example"}, cookies)
    assert admin(access, {"host": "127.0.0.1:7860", "x-forwarded-host": "stage.example",
                          "origin": "https://stage.example"}, cookies)  # fmt: skip
    for origin in ("https://evil.example", "null", "", "https://stage.example.evil.example"):
        assert not admin(access, {**base, "origin": origin}, cookies)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", True),
        (f"Bearer {TOKEN}x", False),
        ("Bearer ", False),
        (TOKEN, False),
        (f"Basic {TOKEN}", False),
        ("Bearer é\ud800", False),
    ],
)
def test_bearer(header, expected):
    assert admin(with_token(), {"Authorization": header}) is expected
    assert not admin(with_token(admin_token=None), {"Authorization": header})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.9.1"])
@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:7860", "127.0.0.1:7860", "[::1]:7860"])
def test_loopback_is_trusted_when_asked_directly(host, name):
    assert admin(trusting(), {"Host": name}, host=host)
    assert admin(trusting(), {"Host": name, "Origin": f"http://{name}"}, host=host)
    assert not admin(with_token(), {"Host": name}, host=host)


@pytest.mark.parametrize("host", [None, "", "10.0.0.5", "::ffff:10.0.0.5", "testclient", "fe80::1"])
def test_other_addresses_are_not(host):
    assert not admin(trusting(), host=host)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": ""},
        {"Host": "rebound.example"},
        {"Host": "rebound.example:7860"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost:7860@evil.example"},
        {"Host": "[::1"},
        {**LOCAL, "Origin": "http://evil.example"},
        {**LOCAL, "Origin": "http://localhost:3000"},
        {**LOCAL, "Origin": "null"},
        {**LOCAL, "Forwarded": "for=1.2.3.4"},
        {**LOCAL, "X-Forwarded-For": "127.0.0.1"},
        {**LOCAL, "X-Forwarded-Host": "localhost"},
        {**LOCAL, "x-forwarded-anything": ""},
        {**LOCAL, "Via": "1.1 proxy"},
        {**LOCAL, "X-Real-IP": "127.0.0.1"},
    ],
)
def test_rebinding_foreign_pages_and_proxies_are_not(headers):
    assert not admin(trusting(), headers)


def test_pseudonyms_hide_and_group_addresses():
    access = with_token()
    assert "10.0.0.5" not in access.host_id("10.0.0.5")
    assert access.host_id("10.0.0.5") == access.host_id("::ffff:10.0.0.5")
    assert access.host_id("2001:db8::1") == access.host_id("2001:db8::2:3")
    assert access.host_id("2001:db8::1") != access.host_id("2001:db8:0:1::1")
    assert access.host_id("10.0.0.5") != with_token().host_id("10.0.0.5")
    assert access.key_id("k") == with_token().key_id("k") != access.key_id("l")


async def page(_):
    return HTMLResponse("<p>stage</p>")


async def data(_):
    return JSONResponse({})


def stream(_):
    gate = threading.Event()

    def parts():
        yield b"first"
        gate.wait(0.5)
        yield b"second"

    return StreamingResponse(parts(), media_type="text/event-stream")


@contextmanager
def served(access: Access) -> Iterator[httpx.Client]:
    routes = [
        Route("/", page, methods=["GET", "POST"]),
        Route("/data", data),
        Route("/stream", stream),
        *login_routes(access),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(AccessMiddleware, access=access)])
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def test_a_page_makes_a_visitor_once_and_nothing_else_does():
    access = with_token()
    with served(access) as client:
        assert "set-cookie" not in client.get("/data").headers
        assert "set-cookie" not in client.post("/").headers
        first = client.get("/")
        assert first.headers["cache-control"] == "private, no-store"
        value = first.cookies[VISITOR_COOKIE]
        assert access.caller_of({}, {VISITOR_COOKIE: value}, None).visitor
        assert "set-cookie" not in client.get("/").headers
        client.cookies.set(VISITOR_COOKIE, "forged.value")
        forged = client.get("/", headers={"cookie": f"{VISITOR_COOKIE}=forged.value"})
        assert VISITOR_COOKIE in forged.headers["set-cookie"]


def test_security_headers():
    with served(with_token()) as client:
        headers = client.get("/data").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["content-security-policy"] == "frame-ancestors 'self'"
        policies = client.get("/login").headers.get_list("content-security-policy")
        assert "default-src 'none'" in ", ".join(policies)
        assert "frame-ancestors 'self'" in ", ".join(policies)
    with served(with_token(is_space=True)) as client:
        expected = "frame-ancestors 'self' https://huggingface.co https://*.hf.space"
        assert client.get("/data").headers["content-security-policy"] == expected


def test_streams_pass_unbuffered():
    with served(with_token()) as client, client.stream("GET", "/stream") as response:
        started = time.monotonic()
        parts = response.iter_raw()
        assert next(parts) == b"first"
        assert time.monotonic() - started < 0.4
        assert next(parts) == b"second"


def test_the_form_is_self_contained():
    with served(with_token()) as client:
        text = client.get("/login").text
    assert '<label for="token">' in text
    assert "prefers-color-scheme: dark" in text
    for foreign in ("<script", "http://", "https://", "<img", "<link", "@import", "url("):
        assert foreign not in text


def test_sign_in_and_out():
    access = with_token()
    with served(access) as client:
        answer = client.post("/login", data={"token": TOKEN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert admin(access, cookies=dict(client.cookies))
        assert "You are signed in" in client.get("/login").text
        assert client.post("/logout", headers={"origin": "http://evil.example"}).status_code == 403
        assert admin(access, cookies=dict(client.cookies))
        assert client.post("/logout").status_code == 303
        assert ADMIN_COOKIE not in client.cookies


@pytest.mark.parametrize(
    "body",
    [b"", b"token=wrong", b"token=", b"\xff", b"other=1", b"&".join([b"a=1"] * 50), b"x" * 9000],
)
def test_a_wrong_token_gets_the_form_again(body):
    form = {"content-type": "application/x-www-form-urlencoded"}
    with served(with_token()) as client:
        answer = client.post("/login", content=body, headers=form)
        assert answer.status_code == 403
        assert 'role="alert"' in answer.text
        assert ADMIN_COOKIE not in client.cookies


def test_another_sites_form_cannot_sign_in():
    with served(with_token()) as client:
        answer = client.post(
            "/login", data={"token": TOKEN}, headers={"origin": "http://evil.test"}
        )
        assert answer.status_code == 403
        assert ADMIN_COOKIE not in client.cookies


def test_guessing_is_limited():
    with served(with_token()) as client:
        for _ in range(10):
            assert client.post("/login", data={"token": "guess"}).status_code == 403
        answer = client.post("/login", data={"token": TOKEN})
        assert answer.status_code == 429
        assert "try again in" in answer.text
        assert ADMIN_COOKIE not in client.cookies


def test_without_a_token_the_page_says_so_and_nobody_gets_in():
    with served(with_token(admin_token=None)) as client:
        assert "no admin token is configured" in client.get("/login").text
        assert client.post("/login", data={"token": ""}).status_code == 403
        assert ADMIN_COOKIE not in client.cookies
    with served(trusting()) as client:
        assert "is its administrator" in client.get("/login").text
