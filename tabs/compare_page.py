"""Side by side: its widgets, and what they show of a comparison."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.chats import Frame
from core.errors import InputError
from core.messages import Message
from core.tool_json import tools_from_json
from evals.arena.items import Item
from evals.arena.sides import MOST_SIDES, SideFrame
from tabs.chat_page import STOPPABLE
from tabs.chat_parameters import ParameterWidgets
from tabs.chat_view import Entry, answer_entries, in_the_making, status_line
from tabs.compare_talk import FEWEST_SIDES, Asked, SideOptions, Talk, Turn
from tabs.escape import as_text, fenced

Update = dict[Component | BlockContext, Any]
COUNTS = tuple(str(count) for count in range(FEWEST_SIDES, MOST_SIDES + 1))


@dataclass(frozen=True, slots=True)
class SideWidgets:
    """The widgets of one side."""

    column: gr.Column
    model: gr.Dropdown
    system: gr.Textbox
    filter: gr.Checkbox
    chatbot: gr.Chatbot


@dataclass(frozen=True, slots=True)
class CompareWidgets:
    """The widgets that events read and change."""

    state: gr.State
    notice: gr.Markdown
    count: gr.Radio
    task: gr.Dropdown
    system: gr.Textbox
    parameters: ParameterWidgets
    tools: gr.Textbox
    sides: tuple[SideWidgets, ...]
    prompt: gr.Textbox
    retry: gr.Button
    result: gr.HTML

    def asked(self) -> set[Block]:
        """Return what a question depends on, as inputs of an event."""
        own = {w for side in self.sides for w in (side.model, side.system, side.filter)}
        shared = {self.state, self.count, self.system, self.tools, self.prompt}
        return own | shared | self.parameters.all()

    def talk(self) -> list[Block]:
        """Return what a question and its answers change."""
        chatbots = [side.chatbot for side in self.sides]
        return [
            self.state,
            self.notice,
            self.count,
            self.prompt,
            self.retry,
            self.result,
            *chatbots,
        ]

    def opened(self) -> list[Block]:
        """Return what an item or a link changes besides."""
        own = [w for side in self.sides for w in (side.column, side.model)]
        shared = [self.task, self.system, self.tools]
        return [*self.talk(), *own, *shared, *self.parameters.all()]

    def read(self, values: Mapping[Any, Any]) -> Asked:
        """Return how the browser wants the sides to be asked.

        Raises:
            InputError: a value has the wrong type or is out of its range.
        """
        tools = str(values[self.tools] or "")
        return Asked(
            sides=tuple(
                SideOptions(
                    model=str(values[side.model] or ""),
                    system=str(values[side.system] or ""),
                    filter=values[side.filter] is True,
                )
                for side in self.sides[: count_of(values[self.count])]
            ),
            params=self.parameters.read(values),
            system=str(values[self.system] or ""),
            tools=tools_from_json(tools) if tools.strip() else (),
        )


def count_of(value: object) -> int:
    """Return how many sides are wanted.

    Raises:
        InputError: it is not one of the numbers allowed.
    """
    if value not in COUNTS:
        raise InputError(f"the number of models must be one of {', '.join(COUNTS)}")
    return int(str(value))


class CompareScreen:
    """Says what the page shows of a comparison; what the browser sends is never history."""

    def __init__(self, widgets: CompareWidgets) -> None:
        self._widgets = widgets

    def show(self, talk: Talk, result: str, notice: str = "") -> Update:
        """Return the page of a comparison in which nothing is being written."""
        w = self._widgets
        return {
            w.state: talk,
            w.notice: gr.update(value=as_text(notice), visible=bool(notice)),
            w.count: gr.update(interactive=not talk.turn),
            w.prompt: gr.update(submit_btn="Compare", stop_btn=False),
            w.retry: gr.update(visible=bool(talk.turn)),
            w.result: result,
            **self._talks([entries_of(talk, place) for place in range(MOST_SIDES)]),
        }

    def show_writing(self, talk: Talk) -> Update:
        """Return what changes when the sides begin to write; the question leaves the prompt."""
        w = self._widgets
        return {
            w.state: talk,
            w.notice: gr.update(visible=False),
            w.count: gr.update(interactive=False),
            w.prompt: gr.update(value="", **STOPPABLE),
            w.retry: gr.update(visible=False),
            w.result: "",
        }

    def writing(
        self,
        above: Sequence[list[Entry]],
        frames: Sequence[SideFrame],
        before: Sequence[SideFrame | None],
    ) -> Update:
        """Return each side's conversation with its answer in the making, where it has changed."""
        sides = zip(self._widgets.sides, above, frames, before, strict=False)
        return {
            side.chatbot: gr.update(value=said + making(frame))
            for side, said, frame, old in sides
            if frame != old
        }

    def item(self, item: Item) -> Update:
        """Return the widgets filled with how a run asks this item."""
        w = self._widgets
        tools = [tool.to_openai() for tool in item.tools]
        return {
            w.task: item.task,
            w.system: item.system,
            w.tools: json.dumps(tools, indent=2, ensure_ascii=False) if tools else "",
            w.prompt: gr.update(value=item.question, submit_btn="Compare", stop_btn=False),
            **w.parameters.shown(item.params),
        }

    def columns(self, count: int) -> Update:
        """Return so many columns."""
        sides = enumerate(self._widgets.sides)
        return {side.column: gr.update(visible=place < count) for place, side in sides}

    def _talks(self, entries: Sequence[list[Entry]]) -> Update:
        sides = zip(self._widgets.sides, entries, strict=False)
        return {side.chatbot: gr.update(value=shown) for side, shown in sides}


def entries_of(talk: Talk, place: int) -> list[Entry]:
    """Return the conversation of one side as `gr.Chatbot` shows it."""
    entries = [entry for message in talk.given for entry in _given(message)]
    for turn in talk.sides[place] if place < len(talk.sides) else ():
        entries += [*asked_entries(turn.question), *_answer(turn)]
    return entries


def asked_entries(question: str) -> list[Entry]:
    """Return a question as `gr.Chatbot` shows it; an empty one is none."""
    return [{"role": "user", "content": as_text(question)}] if question.strip() else []


def making(frame: SideFrame) -> list[Entry]:
    """Return an answer in the making, or complete."""
    if frame.error is not None:
        return [_problem(str(frame.error))]
    if frame.generation is not None:
        made = frame.generation
        return answer_entries(Message("assistant", made.text, made.tool_calls), made)
    return in_the_making(Frame("", frame.text, frame.call_text, frame.progress))


def _answer(turn: Turn) -> list[Entry]:
    if turn.answer is None:
        return [_problem(turn.problem)]
    return answer_entries(
        Message("assistant", turn.answer.text, turn.answer.tool_calls), turn.answer
    )


def _problem(text: str) -> Entry:
    return status_line(f"No answer: {text}", is_pending=False)


def _given(message: Message) -> list[Entry]:
    """Return a message that an item begins with."""
    if message.role == "assistant":
        return answer_entries(message, None)
    if message.role == "tool":
        title = {"title": "Result of a tool", "status": "done"}
        return [{"role": "assistant", "content": fenced(message.text), "metadata": title}]
    return asked_entries(message.text)
