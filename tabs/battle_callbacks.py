"""What happens when a visitor begins a battle, stops it, votes, or corrects an answer."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import gradio as gr

from core.errors import AppError, InputError
from core.outcomes import Outcome
from core.store.battle_records import SideName
from evals.arena.items import item_tasks, random_item
from evals.arena.shown import RevealedSide, Ticket
from tabs.battle_api import asked, prompt_of, reasons_of
from tabs.battle_parts import BattleParts
from tabs.battle_result import marks_of
from tabs.battle_view import (
    FAILED,
    STOPPED,
    BattleScreen,
    BattleState,
    BattleWidgets,
    Update,
    tally,
)
from tabs.bridge import caller_of
from tabs.leaderboard_view import text_of

TITLES = {"a": "What should A have answered?", "b": "What should B have answered?"}
SAVED = "Your correction is stored."
ITEM = (
    "Both models get this item as in a run: with its system prompt, its tools and what was said "
    "before. Once you change it, they get your words only."
)


class BattleCallbacks:
    """Each acts for the visitor of the cookie, and reads what the page shows from the store."""

    def __init__(self, parts: BattleParts, widgets: BattleWidgets) -> None:
        self._parts = parts
        self._widgets = widgets
        self._screen = BattleScreen(parts, widgets)

    def on_load(self, request: gr.Request) -> Update:
        """Show the visitor's battle that waits for a vote, if there is one."""
        w, arena = self._widgets, self._parts.arena
        tasks = [("No task", "")] + [(name, name) for name in item_tasks(self._parts.home)]
        page: Update = {
            w.task: gr.update(choices=tasks, value=""),
            w.tally: tally(arena.counts()),
        }
        visitor = caller_of(self._parts.access, request).visitor
        found = arena.opened(visitor) if visitor else None
        if found is None:
            return page
        state = BattleState(battle=found.id)
        page |= self._screen.begun(state, found.prompt)
        return page | self._screen.complete(found.answer_a, found.answer_b)

    def on_item(self, state: BattleState, task: object) -> Update:
        """Put a random item's prompt into the field."""
        name = text_of(task)
        if not name:
            raise InputError("choose the task to take an item of first")
        item = random_item(self._parts.home, name)
        prompt = next((m.text for m in reversed(item.messages) if m.role == "user"), "")
        w, changed = self._widgets, replace(state, task=name, item=item.id, prompt=prompt)
        return {w.state: changed, w.prompt: prompt, w.status: ITEM}

    def on_begin(self, state: BattleState, prompt: object, request: gr.Request) -> Iterator[Update]:
        """Begin a battle and show both answers as they come."""
        visitor, text = self._parts.visitor(request), prompt_of(prompt)
        is_item = bool(state.item) and text == state.prompt
        ask = asked(text, state.task, state.item) if is_item else asked(text)
        ticket = self._parts.arena.begin(visitor, ask)
        yield {
            **self._screen.begun(BattleState(battle=ticket.id), ticket.prompt),
            self._widgets.prompt: "",
        }
        yield from self._streamed(visitor, ticket)

    def on_stop(self, state: BattleState) -> Update:
        """Show that the battle has ended; leaving its stream is what ended it."""
        return {**self._screen.idle(STOPPED), self._widgets.state: replace(state, battle="")}

    def on_vote(self, outcome: Outcome) -> Callable[..., Iterator[Update]]:
        """Return the callback of the button for this outcome."""

        def vote(state: BattleState, reasons: object, request: gr.Request) -> Iterator[Update]:
            """Store the vote and show what was behind the sides, then the scorer's word."""
            reveal = self._parts.arena.vote(
                self._parts.visitor(request), state.battle, outcome, reasons_of(reasons)
            )
            yield self._screen.revealed(state, reveal)
            if reveal.item is not None:
                yield self._screen.judged(reveal, marks_of(self._parts.home, reveal))

        return vote

    def on_edit(self, side: SideName) -> Callable[..., Update]:
        """Return the callback that opens the editor for this side."""

        def edit(state: BattleState, request: gr.Request) -> Update:
            """Open the editor with the answer in it."""
            w, answer = self._widgets, self._side(state, side, request).answer
            return {
                w.state: replace(state, editing=side),
                w.editor: gr.update(visible=True),
                w.editor_title: TITLES[side],
                w.better: answer,
            }

        return edit

    def on_save(self, state: BattleState, better: object, request: gr.Request) -> Update:
        """Store the correction."""
        if state.editing is None:
            raise InputError("choose the answer to correct first")
        visitor = self._parts.visitor(request)
        self._parts.arena.correct(visitor, state.battle, state.editing, prompt_of(better))
        w = self._widgets
        return {
            w.state: replace(state, editing=None),
            w.editor: gr.update(visible=False),
            w.status: SAVED,
        }

    def on_close(self, state: BattleState) -> Update:
        """Close the editor; nothing is stored."""
        closed = replace(state, editing=None)
        return {self._widgets.state: closed, self._widgets.editor: gr.update(visible=False)}

    def _streamed(self, visitor: str, ticket: Ticket) -> Iterator[Update]:
        """Yield the answers frame by frame, then the open vote, or that there is none."""
        a = b = ""
        has_failed = False
        stream = self._parts.arena.stream(visitor, ticket.id, threading.Event())
        try:
            with closing(stream) as frames:
                for one, other in frames:
                    a, b = one.text, other.text
                    has_failed = one.error is not None or other.error is not None
                    yield self._screen.answers(a, b)
        except AppError:
            yield self._screen.idle(FAILED)
            raise
        yield self._screen.idle(FAILED) if has_failed else self._screen.complete(a, b)

    def _side(self, state: BattleState, side: SideName, request: gr.Request) -> RevealedSide:
        reveal = self._parts.arena.reveal(self._parts.visitor(request), state.battle)
        return reveal.a if side == "a" else reveal.b
