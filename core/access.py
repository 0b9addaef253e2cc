"""Who a caller is: a visitor by a signed cookie, an administrator by token, cookie or loopback.

Nothing else is an identity: a session hash comes from the browser and can be made up.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer, TimestampSigner
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import InputError
from core.messages import new_id

VISITOR_COOKIE = "understudy_visitor"
ADMIN_COOKIE = "understudy_admin"
VISITOR_SECONDS = 365 * 24 * 3600
ADMIN_SECONDS = 8 * 3600

FORWARDING = re.compile(r"forwarded|via|x-real-ip|x-forwarded-.*")
HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]+)(:\d+)?")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    visitor: str | None
    """Random id from the visitor's cookie; None without a valid one."""
    is_admin: bool


class Access:
    """Tells callers apart and issues the cookies that let them be told apart."""

    def __init__(
        self, secret: bytes, admin_token: str | None, trust_loopback: bool, is_space: bool = False
    ) -> None:
        """Take what identities rest on.

        Args:
            secret: signs the cookies; at least 16 bytes.
            admin_token: what an administrator signs in with; None: nobody can sign in.
            trust_loopback: whether a direct request from this machine is an administrator's.
            is_space: whether the page lives in an iframe of huggingface.co, over https.

        Raises:
            InputError: the secret is too short, or both a token and trust are given.
        """
        if len(secret) < 16:
            raise InputError(f"the secret must have at least 16 bytes, got {len(secret)}")
        if trust_loopback and (admin_token is not None or is_space):
            raise InputError("loopback is trusted only without an admin token and off a Space")
        self._secret = secret
        self._token = admin_token
        self._trust_loopback = trust_loopback
        self._host_salt = secrets.token_bytes(16)
        self.is_space = is_space
        digest = hashlib.sha256
        self._visitors = Signer(secret, salt="understudy-visitor", digest_method=digest)
        self._admins = TimestampSigner(secret, salt="understudy-admin", digest_method=digest)

    @property
    def has_admin_token(self) -> bool:
        """Whether anybody can sign in."""
        return self._token is not None

    def caller_of(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], client_host: str | None
    ) -> Caller:
        """Return who sent a request with these headers and cookies from this address."""
        lower = {name.lower(): value for name, value in headers.items()}
        is_admin = (
            self.is_admin_token(bearer_of(lower))
            or (self._is_admin_cookie(cookies.get(ADMIN_COOKIE)) and is_same_origin(lower))
            or (self._trust_loopback and _is_direct_loopback(lower, client_host))
        )
        return Caller(self._visitor_of(cookies.get(VISITOR_COOKIE)), is_admin)

    def is_admin_token(self, token: str | None) -> bool:
        """Return whether the token is the administrator's; takes equally long for all tokens."""
        return self._token is not None and token is not None and is_equal(token, self._token)

    def visitor_cookie(self, is_https: bool) -> str:
        """Return a `set-cookie` value that makes a newcomer a visitor."""
        value = self._visitors.sign(new_id()).decode()
        # In an iframe of another site browsers that block third-party cookies keep only
        # partitioned ones: https://developer.mozilla.org/docs/Web/Privacy/Guides/Third-party_cookies
        partitioned = "; Partitioned" if self.is_space else ""
        return self._cookie(VISITOR_COOKIE, value, VISITOR_SECONDS, is_https) + partitioned

    def admin_cookie(self, is_https: bool) -> str:
        """Return a `set-cookie` value for somebody who has just shown the admin token."""
        value = self._admins.sign(self._token_digest()).decode()
        return self._cookie(ADMIN_COOKIE, value, ADMIN_SECONDS, is_https)

    def no_admin_cookie(self, is_https: bool) -> str:
        """Return a `set-cookie` value that signs an administrator out."""
        return self._cookie(ADMIN_COOKIE, "", 0, is_https)

    def host_id(self, client_host: str | None) -> str:
        """Return a pseudonym of an address for limits and traces; it changes with each start.

        IPv6 addresses of one /64 network, which is what one customer gets, share a pseudonym.
        """
        address = _address(client_host or "")
        text = client_host or "" if address is None else str(address)
        if isinstance(address, ipaddress.IPv6Address):
            text = str(ipaddress.ip_network((address, 64), strict=False))
        return "host:" + hmac.digest(self._host_salt, text.encode(), "sha256").hex()[:16]

    def key_id(self, key: str) -> str:
        """Return a lasting pseudonym of an API key for limits and traces."""
        return "key:" + hmac.digest(self._secret, b"key:" + key.encode(), "sha256").hex()[:16]

    def _cookie(self, name: str, value: str, seconds: int, is_https: bool) -> str:
        site = "None" if self.is_space else "Lax"
        secure = "; Secure" if self.is_space or is_https else ""
        return f"{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite={site}{secure}"

    def _token_digest(self) -> str:
        """Return what binds admin cookies to the present token."""
        token = (self._token or "").encode()
        return hmac.digest(self._secret, b"admin:" + token, "sha256").hex()

    def _is_admin_cookie(self, value: str | None) -> bool:
        if self._token is None or value is None or not value.isascii():
            return False
        try:
            digest = self._admins.unsign(value, max_age=ADMIN_SECONDS).decode()
        except BadSignature:
            return False
        return is_equal(digest, self._token_digest())

    def _visitor_of(self, value: str | None) -> str | None:
        if value is None or not value.isascii():
            return None
        try:
            return self._visitors.unsign(value).decode()
        except BadSignature:
            return None


class AccessMiddleware:
    """Gives each visitor of a page a cookie, and each answer its security headers.

    Pure ASGI, so that streams pass through unbuffered.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        spaces = " https://huggingface.co https://*.hf.space" if access.is_space else ""
        self._policy = f"frame-ancestors 'self'{spaces}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the head of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(scope, MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_completed)

    def _complete(self, scope: Scope, headers: MutableHeaders) -> None:
        headers["x-content-type-options"] = "nosniff"
        headers.setdefault("referrer-policy", "same-origin")
        headers.append("content-security-policy", self._policy)
        is_page = headers.get("content-type", "").startswith("text/html")
        if scope["method"] != "GET" or not is_page:
            return
        cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
        if self._access.caller_of({}, cookies, None).visitor is None:
            headers.append("set-cookie", self._access.visitor_cookie(scope["scheme"] == "https"))
            headers["cache-control"] = "private, no-store"  # The cookie is one visitor's only.


def bearer_of(headers: Mapping[str, str]) -> str | None:
    """Return the token of an `Authorization: Bearer` header, given lower-case names."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_equal(given: str, expected: str) -> bool:
    """Compare two secrets without telling by the time taken how much of them agrees."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether no other site's page sent this, given lower-case names.

    Only browsers send `Origin`, and no page can forge it or `X-Forwarded-Host`.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    place = origin.partition("://")[2].lower()
    ours = (headers.get("host", "").lower(), headers.get("x-forwarded-host", "").lower())
    return bool(place) and place in ours


def _is_direct_loopback(headers: Mapping[str, str], client_host: str | None) -> bool:
    """Return whether a program or page of this machine asked directly, under a loopback name.

    The name in `Host` is what tells a page of another site that was rebound to 127.0.0.1.
    """
    host = HOST.fullmatch(headers.get("host", ""))
    return (
        _is_loopback(client_host or "")
        and host is not None
        and (host[1].lower() == "localhost" or _is_loopback(host[1]))
        and not any(FORWARDING.fullmatch(name) for name in headers)
        and is_same_origin(headers)
    )


def _is_loopback(host: str) -> bool:
    address = _address(host.strip("[]"))
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, an IPv4 one that is written as IPv6 as what it is; None for a name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
