"""What the Battle section works with, and who may use it."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from core.access import Access
from core.errors import ForbiddenError
from evals.arena.arena import Arena
from tabs.bridge import caller_of
from tabs.vote_pages import VotePages

NO_COOKIE = (
    "this browser sends no cookie of ours, and without it nobody can tell whose battle this is; "
    "allow cookies for this page and reload it"
)


@dataclass(frozen=True, slots=True)
class BattleParts:
    """What the section works with; shared by all sessions."""

    arena: Arena
    pages: VotePages
    access: Access
    home: Path

    def visitor(self, request: gr.Request) -> str:
        """Return the visitor whose battles the caller may stream, vote on and correct.

        Raises:
            ForbiddenError: the request carries no valid visitor's cookie.
        """
        visitor = caller_of(self.access, request).visitor
        if visitor is None:
            raise ForbiddenError(NO_COOKIE)
        return visitor
