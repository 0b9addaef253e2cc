"""A comparison as far as it has come: what each side was asked, and what it said."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.chats import Person
from core.errors import InputError
from core.messages import Generation, GenerationParams, GenerationRequest, Message, Tool
from evals.arena.items import Item
from evals.arena.sides import MOST_SIDES, SideFrame

FEWEST_SIDES = 2


@dataclass(frozen=True, slots=True)
class SideOptions:
    """What one side has of its own."""

    model: str
    """`MODEL` or `MODEL@VERSION`, by catalog id."""
    system: str = ""
    """Its own system prompt; empty: the shared one."""
    filter: bool = False
    """Cut meta-language out of its answers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How all sides are asked, and what each has of its own."""

    sides: tuple[SideOptions, ...]
    params: GenerationParams
    system: str = ""
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and what a side made of it."""

    question: str
    """Empty where an item of a task ends with a tool's result."""
    answer: Generation | None
    problem: str = ""
    """Why there is no answer."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What one page remembers of its comparison."""

    key: str = ""
    """Names the page to the server; drawn there."""
    item: Item | None = None
    """The item that was chosen as the first question."""
    is_item: bool = False
    """Whether the first question was the item's own, so that its scorer may judge the answers."""
    changes: tuple[str, ...] = ()
    """What of the item's options was changed for a side, so that it was not asked as in a run."""
    sides: tuple[tuple[Turn, ...], ...] = ()
    """The turns of each side; empty until the first question."""

    @property
    def given(self) -> tuple[Message, ...]:
        """Return what all sides were told before the first question."""
        return self.item.given if self.item else ()

    @property
    def last(self) -> tuple[Turn, ...]:
        """Return what each side made of the last question; empty before the first."""
        return tuple(turns[-1] for turns in self.sides if turns)

    @property
    def turn(self) -> int:
        """Return how many questions were asked."""
        return len(self.sides[0]) if self.sides else 0

    def asks(self, question: str, asked: Asked) -> "Talk":
        """Return the comparison as one of these sides whose next question this is.

        Raises:
            InputError: there is no question, or the number of sides has changed.
        """
        count = len(asked.sides)
        if not FEWEST_SIDES <= count <= MOST_SIDES:
            raise InputError(f"a comparison has 2 to {MOST_SIDES} models, got {count}")
        if self.turn and len(self.sides) != count:
            raise InputError("start a new comparison to change the number of models")
        if self.turn:
            _refuse_empty(question)
            return self
        is_item = self.item is not None and question.strip() == self.item.question.strip()
        if not is_item:
            _refuse_empty(question)
        changes = changes_of(self.item, asked) if self.item and is_item else ()
        return replace(self, is_item=is_item, changes=changes, sides=((),) * count)

    def before_last(self) -> "Talk":
        """Return the comparison without the last question and its answers.

        Raises:
            InputError: nothing was asked yet.
        """
        if not self.turn:
            raise InputError("there is nothing to ask again yet; write a prompt first")
        return replace(self, sides=tuple(turns[:-1] for turns in self.sides))

    def answered(self, question: str, frames: Sequence[SideFrame]) -> "Talk":
        """Return the comparison with what each side made of the question."""
        turns = [Turn(question, f.generation, str(f.error) if f.error else "") for f in frames]
        sides = zip(self.sides, turns, strict=True)
        return replace(self, sides=tuple((*before, turn) for before, turn in sides))

    def requests(self, asked: Asked, question: str, person: Person) -> list[GenerationRequest]:
        """Return what the sides are asked: the same messages, parameters and seed.

        A question that a side could not answer is not repeated to it. The cache is off, so that
        every figure is measured now.
        """
        params = asked.params
        if params.seed is None and params.temperature > 0:
            params = replace(params, seed=secrets.randbelow(2**32))
        if self.is_item and self.item and not self.turn:
            params = replace(params, stop=self.item.params.stop)
            question = self.item.question
        return [
            GenerationRequest(
                model=side.model,
                messages=self._messages(turns, system_of(side, asked), question),
                params=params,
                caller=person.visitor,
                tools=asked.tools,
                is_admin=person.is_admin,
                trim_history=True,
                cache="off",
                filter=side.filter,
            )
            for side, turns in zip(asked.sides, self.sides, strict=True)
        ]

    def _messages(self, turns: Sequence[Turn], system: str, question: str) -> tuple[Message, ...]:
        first = (Message("system", system),) if system.strip() else ()
        asked = (Message("user", question),) if question.strip() else ()
        said: list[Message] = []
        for turn in turns:
            if turn.answer is not None:
                said += [Message("user", turn.question)] if turn.question.strip() else []
                said.append(Message("assistant", turn.answer.text, turn.answer.tool_calls))
        return (*first, *self.given, *said, *asked)


def system_of(side: SideOptions, asked: Asked) -> str:
    """Return the system prompt that a side gets."""
    return side.system.strip() or asked.system


def changes_of(item: Item, asked: Asked) -> tuple[str, ...]:
    """Return which options of any side are not those of a run of the item's task, in words."""
    params = replace(asked.params, stop=item.params.stop)
    changed = {
        "the system prompt": any(system_of(side, asked) != item.system for side in asked.sides),
        "the tools": asked.tools != item.tools,
        "the parameters": params != item.params,
        "the filter": any(side.filter for side in asked.sides),
    }
    return tuple(words for words, is_changed in changed.items() if is_changed)


def _refuse_empty(question: str) -> None:
    if not question.strip():
        raise InputError("write a prompt first")
