"""How a battle looks: what the page says at each moment, and the widgets that say it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.outcomes import Outcome
from core.store.battle_records import BattleCounts, SideName
from evals.arena.shown import Reveal
from evals.arena.votes import EXCLUDED
from tabs.battle_parts import BattleParts
from tabs.battle_result import Marks
from tabs.escape import as_text

Update = dict[Component | BlockContext, Any]
SAID: Mapping[Outcome, str] = {
    "model_a": "A is better",
    "model_b": "B is better",
    "tie": "Tie",
    "both_bad": "Both bad",
}
"""What the buttons say, in their order."""
AT_WORK = "Both models are at work; their answers appear at one pace."
VOTE = "Both answers are complete. Which one is better?"
FAILED = "One side failed, so there is nothing to vote on. Start another battle."
STOPPED = "Stopped; this battle can't be voted on any more."
IDLE = "Write a prompt or take a task's item. Who answered is shown after your vote."
EMPTY = "*The answer is empty.*"


@dataclass(frozen=True, slots=True)
class BattleState:
    """What one browser session remembers; the battle itself is in the store."""

    battle: str = ""
    """Id of the battle on the page; empty: none."""
    task: str = ""
    item: str = ""
    """Item whose prompt was put into the field."""
    prompt: str = ""
    """That prompt; once the visitor has changed it, the battle is on what they wrote."""
    editing: SideName | None = None
    """Side whose answer is being corrected."""


@dataclass(frozen=True, slots=True)
class BattleWidgets:
    """The widgets that events change."""

    state: gr.State
    prompt: gr.Textbox
    task: gr.Dropdown
    begin: gr.Button
    stop: gr.Button
    asked: gr.Markdown
    sides: gr.Row
    answer_a: gr.Markdown
    answer_b: gr.Markdown
    reveal_a: gr.HTML
    reveal_b: gr.HTML
    edit_a: gr.Button
    edit_b: gr.Button
    status: gr.Markdown
    reasons: gr.CheckboxGroup
    votes: gr.Row
    model_a: gr.Button
    model_b: gr.Button
    tie: gr.Button
    both_bad: gr.Button
    editor: gr.Column
    editor_title: gr.Markdown
    better: gr.Textbox
    result: gr.HTML
    tally: gr.Markdown

    def changed(self) -> list[Block]:
        """Return what events change."""
        return [getattr(self, field.name) for field in fields(self)]

    def buttons(self) -> dict[Outcome, gr.Button]:
        """Return the button of each outcome."""
        return {
            "model_a": self.model_a,
            "model_b": self.model_b,
            "tie": self.tie,
            "both_bad": self.both_bad,
        }


class BattleScreen:
    """Says what the page shows; before the vote nothing here knows a model."""

    def __init__(self, parts: BattleParts, widgets: BattleWidgets) -> None:
        self._parts = parts
        self._widgets = widgets

    def idle(self, status: str = IDLE) -> Update:
        """Return the page without a battle that can be voted on."""
        w = self._widgets
        return {
            **self._voting(is_open=False),
            **self._hidden(),
            w.begin: gr.update(visible=True, value="Start a battle"),
            w.stop: gr.update(visible=False),
            w.status: status,
        }

    def begun(self, state: BattleState, prompt: str) -> Update:
        """Return the page of a battle that is being answered."""
        w = self._widgets
        return {
            **self._voting(is_open=False),
            **self._hidden(),
            w.state: state,
            w.begin: gr.update(visible=False),
            w.stop: gr.update(visible=True),
            w.asked: gr.update(visible=True, value=as_text(prompt)),
            w.sides: gr.update(visible=True),
            w.reasons: gr.update(visible=True, value=[]),
            w.votes: gr.update(visible=True),
            w.answer_a: "",
            w.answer_b: "",
            w.status: AT_WORK,
        }

    def answers(self, a: str, b: str) -> Update:
        """Return both answers as far as they have come."""
        return {self._widgets.answer_a: as_text(a), self._widgets.answer_b: as_text(b)}

    def complete(self, a: str, b: str) -> Update:
        """Return what changes once both sides are complete: the vote is open."""
        w = self._widgets
        return {
            w.answer_a: as_text(a) if a.strip() else EMPTY,
            w.answer_b: as_text(b) if b.strip() else EMPTY,
            **self._voting(is_open=True),
            w.begin: gr.update(visible=True, value="Skip, start another"),
            w.stop: gr.update(visible=False),
            w.status: VOTE,
        }

    def revealed(self, state: BattleState, reveal: Reveal) -> Update:
        """Return the page after the vote: what was behind the sides."""
        w, pages = self._widgets, self._parts.pages
        said = f"You said: **{SAID[reveal.outcome]}**."
        if reveal.excluded_because:
            said += f" Your vote is kept but not counted: {EXCLUDED[reveal.excluded_because]}."
        return {
            **self._voting(is_open=False),
            w.state: state,
            w.begin: gr.update(visible=True, value="Next battle"),
            w.stop: gr.update(visible=False),
            w.votes: gr.update(visible=False),
            w.reasons: gr.update(visible=False),
            w.answer_a: as_text(reveal.a.answer) if reveal.a.answer.strip() else EMPTY,
            w.answer_b: as_text(reveal.b.answer) if reveal.b.answer.strip() else EMPTY,
            w.reveal_a: gr.update(visible=True, value=pages.side(reveal.a)),
            w.reveal_b: gr.update(visible=True, value=pages.side(reveal.b)),
            w.result: gr.update(visible=True, value=pages.differences(reveal)),
            w.edit_a: gr.update(visible=True),
            w.edit_b: gr.update(visible=True),
            w.editor: gr.update(visible=False),
            w.status: said,
            w.tally: tally(self._parts.arena.counts()),
        }

    def judged(self, reveal: Reveal, marks: Marks) -> Update:
        """Return what changes once the scorer has spoken.

        Only texts change: what another battle has hidden meanwhile stays hidden.
        """
        w, pages = self._widgets, self._parts.pages
        return {
            w.reveal_a: gr.update(value=pages.side(reveal.a, marks.a, marks.metric)),
            w.reveal_b: gr.update(value=pages.side(reveal.b, marks.b, marks.metric)),
        }

    def _voting(self, *, is_open: bool) -> Update:
        return {b: gr.update(interactive=is_open) for b in self._widgets.buttons().values()}

    def _hidden(self) -> Update:
        """Return what only the reveal shows, emptied."""
        w = self._widgets
        return {
            w.reveal_a: gr.update(visible=False, value=""),
            w.reveal_b: gr.update(visible=False, value=""),
            w.result: gr.update(visible=False, value=""),
            w.edit_a: gr.update(visible=False),
            w.edit_b: gr.update(visible=False),
            w.editor: gr.update(visible=False),
            w.better: "",
            w.editor_title: "",
        }


def tally(counts: BattleCounts) -> str:
    """Return how many votes there are, and why some don't count."""
    if not counts.counted and not counts.excluded:
        return "No votes yet."
    line = f"{counts.counted:,} vote{'' if counts.counted == 1 else 's'} counted"
    if not counts.excluded:
        return f"{line}."
    why = "; ".join(f"{EXCLUDED[reason]} ({many:,})" for reason, many in counts.excluded.items())
    return f"{line}, {sum(counts.excluded.values()):,} excluded: {why}."
