"""The one place where our errors become Gradio's, and Gradio's requests become our callers."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from core.access import Access, Caller
from core.chats import Person
from core.errors import AppError
from core.messages import new_id

P = ParamSpec("P")
R = TypeVar("R")
QUIET: Mapping[str, Any] = {
    "concurrency_limit": None,
    "show_progress": "hidden",
    "show_progress_on": [],
}
"""How events are wired that only look, or that say themselves how far they are.

An empty `show_progress_on` matters: with each piece of a stream Gradio 6.31 tells the progress to
all components that it was ever told for, 300 of ours, and looks for each in the whole page.
"""


def handler(fn: Callable[P, R]) -> Callable[P, R]:
    """Show an `AppError` to the user; let everything else surface as a bug."""
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def stream(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
            try:
                yield from fn(*args, **kwargs)
            except AppError as error:
                raise _shown(error) from error

        # The wrapper has the signature of what it wraps; mypy can't see that.
        return cast(Callable[P, R], stream)

    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        except AppError as error:
            raise _shown(error) from error

    return call


def _shown(error: AppError) -> gr.Error:
    text = str(error)
    return gr.Error(text[:1].upper() + text[1:], print_exception=False, title="")


def caller_of(access: Access, request: gr.Request) -> Caller:
    """Return who sent the request behind an event; its session hash says nothing of that."""
    host = request.client.host if request.client else None
    return access.caller_of(dict(request.headers), dict(request.cookies), host)


def person_of(access: Access, request: gr.Request, guest: str) -> Person:
    """Return who acts: the cookie's visitor, else the guest that a page's own state names."""
    caller = caller_of(access, request)
    return Person(caller.visitor or f"guest-{guest or new_id()}", caller.is_admin)
