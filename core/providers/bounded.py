"""The HTTP client for models that are served elsewhere; whatever a server sends, it is bounded.

Imported only where a call is made: it takes a third of a second.
"""

from collections.abc import AsyncIterator

import httpx2

from core.catalog import Target
from core.errors import AppError
from core.providers.chunks import malformed
from core.providers.failures import broken_off, failure

MAX_BYTES = 8_000_000
"""Bytes of an answer: 2,000 for each of the most tokens that may be asked for."""
MAX_ERROR_BYTES = 64_000
"""Bytes of a refusal that are read."""
CONNECT_S = 10.0
"""Longest wait for a connection."""
SILENCE_S = 120.0
"""Longest wait for the next bytes; a server that loads its model first is silent for long."""
KEPT_S = 2.0
"""How long an idle connection is kept: less than servers do, or they would close it first."""
CONNECTIONS = 1000


class Bounded(httpx2.AsyncByteStream):
    """A body that ends early, or fails, when it is longer than any answer can be."""

    def __init__(self, inner: httpx2.AsyncByteStream, *, is_refusal: bool) -> None:
        self._inner = inner
        self._is_refusal = is_refusal

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they come.

        Raises:
            GenerationError: the answer is longer than `MAX_BYTES`.
        """
        size = 0
        async for part in self._inner:
            size += len(part)
            if self._is_refusal and size > MAX_ERROR_BYTES:
                return
            if size > MAX_BYTES:
                raise malformed(f"the server's answer is longer than {MAX_BYTES // 10**6} MB")
            yield part

    async def aclose(self) -> None:
        """Close the connection's side of it."""
        await self._inner.aclose()


async def _bound(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = Bounded(response.stream, is_refusal=response.status_code >= 300)


def new_client() -> httpx2.AsyncClient:
    """Return a client that follows no redirects, whose address nobody has allowed."""
    return httpx2.AsyncClient(
        # Compressed, a few bytes could unfold to any number.
        headers={"accept-encoding": "identity"},
        limits=httpx2.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS // 10,
            keepalive_expiry=KEPT_S,
        ),
        event_hooks={"response": [_bound]},
        follow_redirects=False,
    )


def http_error(error: httpx2.RequestError, target: Target, *, has_begun: bool) -> AppError:
    """Return the error that says the same to our callers.

    `has_begun`: whether a part of the answer came before.
    """
    if isinstance(error, httpx2.TimeoutException):
        return failure("timeout", target)
    return broken_off(target) if has_begun else failure("connection", target)


def timeouts() -> httpx2.Timeout:
    """Return how long each step of a call may take."""
    return httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
