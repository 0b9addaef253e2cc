"""The administrator's sign-in: one small page that needs no script and no other host."""

import html
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from core.access import Access, is_same_origin
from core.errors import RateLimitError
from core.gateway.allow import Limits, RateLimiter

ATTEMPTS = Limits(requests_per_minute=10, body_bytes=4096)
"""Guesses by one address, and the size of a form."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Sign in · Understudy</title>
<style>
:root {{ color-scheme: light dark; --page: #f6f5f3; --card: #ffffff; --ink: #1d1b19;
  --line: #8a857e; --act: #8a1c2b; --on-act: #ffffff; --bad: #a3161f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #171514; --card: #221f1d; --ink: #f1eeea;
  --line: #8f8982; --act: #f0a3ab; --on-act: #2b0a0e; --bad: #ff9a9f; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }}
main {{ width: 100%; max-width: 24rem; padding: 2rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; }}
h1 {{ margin: 0 0 1rem; font-size: 1.375rem; }}
label {{ display: block; font-weight: 600; }}
input, button {{ width: 100%; min-height: 2.75rem; margin-top: .5rem; padding: 0 .75rem;
  border: 1px solid var(--line); border-radius: .5rem; font: inherit; color: inherit;
  background: transparent; }}
button {{ margin-top: 1rem; border: 0; background: var(--act); color: var(--on-act);
  font-weight: 600; cursor: pointer; }}
a {{ color: var(--act); }}
:focus-visible {{ outline: 3px solid var(--act); outline-offset: 2px; }}
.problem {{ margin: .75rem 0 0; color: var(--bad); }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
<p><a href="/">Back to the stage</a></p>
</main>
</body>
</html>
"""
FORM = """<form method="post" action="/login">
<label for="token">Admin token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus
  {described}>
{problem}
<button>Sign in</button>
</form>"""
PROBLEM = '<p class="problem" id="problem" role="alert">{text}</p>'
SIGNED_IN = """<p>You are signed in as administrator.</p>
<form method="post" action="/logout"><button>Sign out</button></form>"""
NOBODY = """<p>Nobody can sign in here: no admin token is configured. Set
<code>UNDERSTUDY_ADMIN_TOKEN</code> and start the app again.</p>"""
LOOPBACK = """<p>There is nothing to sign in to: no admin token is configured, and whoever opens the
app on this machine is its administrator.</p>"""

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
    ),
}


def login_routes(access: Access) -> list[BaseRoute]:
    """Return `GET /login`, `POST /login` and `POST /logout`."""
    limiter = RateLimiter(ATTEMPTS)

    async def show(request: Request) -> Response:
        return _page(access, _is_admin(access, request))

    async def sign_in(request: Request) -> Response:
        if not access.has_admin_token:
            return _page(access, is_admin=False, status=403)
        try:
            limiter.admit(access.host_id(_client_host(request)))
        except RateLimitError as error:
            return _page(access, is_admin=False, status=429, problem=f"{error}.".capitalize())
        if not is_same_origin(request.headers) or not await _has_token(access, request):
            return _page(access, is_admin=False, status=403, problem="This is not the admin token.")
        return _redirect(access.admin_cookie(request.url.scheme == "https"))

    async def sign_out(request: Request) -> Response:
        if not is_same_origin(request.headers):
            return _page(access, _is_admin(access, request), status=403)
        return _redirect(access.no_admin_cookie(request.url.scheme == "https"))

    return [
        Route("/login", show, methods=["GET"]),
        Route("/login", sign_in, methods=["POST"]),
        Route("/logout", sign_out, methods=["POST"]),
    ]


def _page(access: Access, is_admin: bool, status: int = 200, problem: str = "") -> Response:
    title = "Sign in"
    if not access.has_admin_token:
        content = LOOPBACK if is_admin else NOBODY
    elif is_admin:
        title, content = "Signed in", SIGNED_IN
    else:
        content = FORM.format(
            described='aria-invalid="true" aria-describedby="problem"' if problem else "",
            problem=PROBLEM.format(text=html.escape(problem)) if problem else "",
        )
    return HTMLResponse(PAGE.format(title=title, content=content), status, HEADERS)


def _redirect(cookie: str) -> Response:
    return RedirectResponse("/", 303, {"set-cookie": cookie, "cache-control": "no-store"})


def _is_admin(access: Access, request: Request) -> bool:
    return access.caller_of(request.headers, request.cookies, _client_host(request)).is_admin


def _client_host(request: Request) -> str | None:
    return request.client.host if request.client else None


async def _has_token(access: Access, request: Request) -> bool:
    """Read the form and return whether it holds the admin token."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > ATTEMPTS.body_bytes:
                return False
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except (ClientDisconnect, ValueError):
        return False
    return access.is_admin_token(fields.get("token", [""])[0])
