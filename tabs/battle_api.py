"""Battles for programs: three endpoints whose arguments and answers are plain JSON.

They say what the page shows and nothing else: before the vote no model, and no figure of a side.
"""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from gradio.events import api

from core.errors import InputError
from evals.arena.items import Verdict
from evals.arena.shown import Ask, Reveal, RevealedSide
from tabs.battle_parts import BattleParts
from tabs.battle_result import Marks, marks_of, verdict_json
from tabs.bridge import handler
from tabs.leaderboard_view import text_of

Json = dict[str, Any]
LONGEST = 100_000
"""Characters of a prompt that is looked at at all; what it may have is the arena's to say."""
MOST_REASONS = 20


def build_battle_api(parts: BattleParts) -> None:
    """Add the endpoints to the current `gr.Blocks`."""
    calls = BattleCalls(parts)
    for name, call in (
        ("battle_begin", calls.begin),
        ("battle_stream", calls.stream),
        ("battle_vote", calls.vote),
    ):
        api(handler(call), api_name=name, concurrency_limit=None)


class BattleCalls:
    """Each acts for the visitor whose cookie the request carries."""

    def __init__(self, parts: BattleParts) -> None:
        self._parts = parts

    def begin(self, prompt: str, request: gr.Request, task: str = "", item: str = "") -> Json:
        """Begin a battle on a prompt, or on an item of a task; return its id and the prompt."""
        ask = asked(prompt, task, item)
        ticket = self._parts.arena.begin(self._parts.visitor(request), ask)
        return {"id": ticket.id, "prompt": ticket.prompt}

    def stream(self, battle_id: str, request: gr.Request) -> Iterator[Json]:
        """Yield both answers as they come; with the last frame the battle waits for its vote."""
        visitor, stop = self._parts.visitor(request), threading.Event()
        with closing(self._parts.arena.stream(visitor, text_of(battle_id), stop)) as frames:
            for a, b in frames:
                yield {
                    "a": a.text,
                    "b": b.text,
                    "is_complete": a.is_complete and b.is_complete,
                    "has_failed": a.error is not None or b.error is not None,
                }

    def vote(
        self, battle_id: str, outcome: str, request: gr.Request, reasons: list[str] | None = None
    ) -> Json:
        """Vote `model_a`, `model_b`, `tie` or `both_bad`, once; return what was behind it."""
        reveal = self._parts.arena.vote(
            self._parts.visitor(request), text_of(battle_id), text_of(outcome), reasons_of(reasons)
        )
        return revealed(reveal, marks_of(self._parts.home, reveal))


def asked(prompt: object, task: object = "", item: object = "") -> Ask:
    """Return what a battle is to be about, of values that the browser sent.

    Raises:
        InputError: a value is no text, or a longer one than is ever meant.
    """
    if text_of(item):
        return Ask(task=text_of(task), item=text_of(item))
    return Ask(prompt=prompt_of(prompt))


def prompt_of(value: object) -> str:
    """Return a long text that came over HTTP.

    Raises:
        InputError: it is no text, or a longer one than is ever meant.
    """
    if not isinstance(value, str) or len(value) > LONGEST:
        raise InputError(f"a text of at most {LONGEST} characters is wanted")
    return value.encode("utf-8", "replace").decode()


def reasons_of(value: object) -> tuple[str, ...]:
    """Return the reasons of a vote; which ones there are, the arena checks.

    Raises:
        InputError: the value is no short list of texts.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_REASONS:
        raise InputError(f"reasons must be a list of at most {MOST_REASONS}")
    return tuple(text_of(reason) for reason in value)


def revealed(reveal: Reveal, marks: Marks) -> Json:
    """Return a reveal as JSON, with the scorer's marks where the prompt was a task's item."""
    return {
        "battle": reveal.battle,
        "outcome": reveal.outcome,
        "reasons": list(reveal.reasons),
        "excluded_because": reveal.excluded_because,
        "experiment": reveal.experiment,
        "task": reveal.task,
        "item": reveal.item,
        "a": _side(reveal.a, marks.a),
        "b": _side(reveal.b, marks.b),
    }


def _side(side: RevealedSide, verdict: Verdict) -> Json:
    return {
        "asked": side.arm.model,
        "answer": side.answer,
        "names_itself": side.names_itself,
        "verdict": verdict_json(verdict),
        **side.generation.facts(),
    }
