"""What happens when a visitor compares, stops, retries, takes an item or opens a link."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from core.chats import Person
from core.errors import AppError
from core.messages import new_id
from core.model_states import model_states
from evals.arena.items import Item, Verdict, find_item, item_tasks, random_item, verdicts
from evals.arena.sides import Frames, SideFrame, run_sides
from tabs.bridge import person_of
from tabs.chat_options import model_choices
from tabs.compare_link import CompareLink, link_of
from tabs.compare_page import CompareScreen, CompareWidgets, Update, asked_entries, count_of
from tabs.compare_page import entries_of as entries
from tabs.compare_parts import CompareParts
from tabs.compare_talk import FEWEST_SIDES, Asked, Talk

TAB = "compare"
NO_TASK = [("No task", "")]


class CompareCallbacks:
    """Each reads what the page remembers, acts, and returns what changes on it."""

    def __init__(self, parts: CompareParts, widgets: CompareWidgets, tabs: gr.Tabs) -> None:
        self._parts = parts
        self._widgets = widgets
        self._place: Update = {tabs: gr.update(selected=TAB)}
        self._screen = CompareScreen(widgets)

    def on_load(self, request: gr.Request) -> Update:
        """Open an empty comparison, or what the page's address names; nothing is asked."""
        params = {str(name): str(value) for name, value in request.query_params.items()}
        talk = Talk(key=new_id())
        fresh = {**self._choices(), self._widgets.state: talk}
        try:
            link = link_of(params, self._parts.gateway.traffic.catalog)
            return fresh | (self._opened(talk, link) | self._place if link else {})
        except AppError as error:
            notice = f"This link can't be opened as it is: {error}."
            return fresh | self._screen.show(talk, "", notice) | self._place

    def on_count(self, value: object) -> Update:
        """Show so many columns."""
        return self._screen.columns(count_of(value))

    def on_item(self, talk: Talk, task: object) -> Update:
        """Begin a new comparison with an item of the task, drawn by chance."""
        item = random_item(self._parts.home, str(task or ""))
        return self._with_item(talk, item)

    def on_send(self, values: Update, request: gr.Request) -> Iterator[Update]:
        """Ask all sides the question, and show their answers as they come."""
        w = self._widgets
        talk, asked = _keyed(values[w.state]), w.read(values)
        question = str(values[w.prompt] or "")
        yield from self._answered(talk, asked, question, self._person(talk, request))

    def on_retry(self, values: Update, request: gr.Request) -> Iterator[Update]:
        """Ask the last question again, with the options as they are now."""
        talk, asked = _keyed(values[self._widgets.state]), self._widgets.read(values)
        before = talk.before_last()
        question = talk.last[0].question
        yield from self._answered(before, asked, question, self._person(talk, request))

    def on_stop(self, talk: Talk) -> None:
        """End the answers that are being written; what came is kept."""
        self._parts.stops.stop(talk.key)

    def on_new(self, talk: Talk) -> Update:
        """Forget the comparison; the options stay."""
        return self._screen.show(Talk(key=talk.key), "")

    def _answered(
        self, talk: Talk, asked: Asked, question: str, person: Person
    ) -> Iterator[Update]:
        """Yield the page as the answers come, then complete, then with the scorer's verdicts.

        Closing this ends the answers.
        """
        talk = talk.asks(question, asked)
        requests = talk.requests(asked, question, person)
        for request in requests:
            self._parts.gateway.check(request)
        with self._parts.stops.running(talk.key) as stop:
            frames = run_sides(self._parts.gateway, requests, is_level=False, stop=stop)
            last = yield from self._written(talk, question, frames)
        done = talk.answered(question, last)
        pages, notice = self._parts.pages, _notice(done)
        yield self._screen.show(done, pages.result(done, asked), notice)
        if done.is_item and done.turn == 1:
            judged = self._verdicts(done)
            yield {self._widgets.result: pages.result(done, asked, judged)}

    def _written(
        self, talk: Talk, question: str, frames: Frames
    ) -> Generator[Update, None, Sequence[SideFrame]]:
        """Yield the page with every frame; return the last one."""
        above = [entries(talk, place) + asked_entries(question) for place in range(len(talk.sides))]
        page = self._screen.show_writing(talk)
        last: Sequence[SideFrame] = ()
        with closing(frames):
            for frame in frames:
                yield page | self._screen.writing(above, frame, last or [None] * len(frame))
                page, last = {}, frame
        return last

    def _verdicts(self, talk: Talk) -> Sequence[Verdict]:
        item = talk.item
        assert item is not None
        answers = [turn.answer for turn in talk.last]
        return verdicts(self._parts.home, item.task, item.id, answers)

    def _opened(self, talk: Talk, link: CompareLink) -> Update:
        """Return the page as a link asks for it.

        Raises:
            AppError: the link's item can't be found or read.
        """
        w = self._widgets
        models = self._padded(link.models)
        shown = self._screen.show(talk, "") | self._screen.columns(len(models))
        shown[w.count] = gr.update(value=str(len(models)), interactive=True)
        for side, model in zip(w.sides, models, strict=False):
            shown[side.model] = gr.update(choices=self._models(), value=model)
        if not link.task:
            prompt = gr.update(value=link.prompt, submit_btn="Compare", stop_btn=False)
            return shown | {w.prompt: prompt}
        home = self._parts.home
        found = find_item(home, link.task, link.item) if link.item else random_item(home, link.task)
        with_item = self._with_item(talk, found)
        return shown | with_item | {w.count: shown[w.count]}

    def _with_item(self, talk: Talk, item: Item) -> Update:
        begun = Talk(key=_keyed(talk).key, item=item)
        notice = (
            f"Item {item.id} of {item.task}: its system prompt, tools and parameters are in the "
            "options. Compare asks all models as a run would."
        )
        return self._screen.show(begun, "", notice) | self._screen.item(item)

    def _padded(self, models: tuple[str, ...]) -> tuple[str, ...]:
        """Return at least two models: beside a lone one the next that can answer."""
        if len(models) >= FEWEST_SIDES:
            return models
        states = model_states(self._parts.gateway.traffic)
        others = [state.id for state in states if state.is_ready and state.id not in models]
        return (*models, *others[:1], *models)[:FEWEST_SIDES]

    def _choices(self) -> Update:
        """Return the models and tasks there are by now."""
        w, models = self._widgets, self._models()
        tasks = NO_TASK + [(name, name) for name in item_tasks(self._parts.home)]
        shown: dict[Any, Any] = {side.model: gr.update(choices=models) for side in w.sides}
        return shown | {w.task: gr.update(choices=tasks)}

    def _models(self) -> list[tuple[str, str]]:
        return model_choices(self._parts.gateway.traffic)

    def _person(self, talk: Talk, request: gr.Request) -> Person:
        return person_of(self._parts.access, request, talk.key)


def _keyed(talk: Talk) -> Talk:
    """Return the comparison under a key of its own, whatever page it comes from."""
    return talk if talk.key else replace(talk, key=new_id())


def _notice(talk: Talk) -> str:
    if talk.item is None or talk.is_item or talk.turn > 1:
        return ""
    return f"The prompt is no longer that of item {talk.item.id}, so its scorer does not mark it."
