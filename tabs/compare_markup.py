"""What a comparison's answers come to, as HTML: figures, verdicts, and what differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.messages import Generation
from core.store.battle_records import shown_answer
from evals.arena.diffs import CallPair, FieldDiff, TextDiff, call_diff, json_diff, text_diff
from evals.arena.items import Verdict
from evals.grading import GradingFailure
from tabs.chat_view import ENDS, cost, gateway_notes, seconds, tokens
from tabs.compare_link import CompareLink
from tabs.compare_talk import Asked, Talk, Turn
from tabs.templates import make_templates, number, share


@dataclass(frozen=True, slots=True)
class Figures:
    """One side's row of the table."""

    name: str
    cells: tuple[str, ...]
    """As long as `FIGURES`."""
    notes: tuple[str, ...]
    """What ended the answer early, and what the gateway did."""
    verdict: str
    """Empty where no scorer was asked."""
    is_right: bool | None
    """Whether the primary metric is full; None: no mark."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How one side's answer differs from the first one's."""

    name_a: str
    name_b: str
    calls: tuple[CallPair, ...]
    fields: FieldDiff | None
    """None: not both answers are JSON objects or lists."""
    text: TextDiff | None
    """None: neither has a text, or `fields` say it better."""
    is_unread: bool = False
    """Whether a call can't be read: then `text` is the answers with their calls as written."""

    @property
    def is_same(self) -> bool:
        """Whether the answers agree in all that is compared."""
        same_calls = all(pair.is_same for pair in self.calls)
        same_fields = self.fields is None or self.fields.is_same
        return same_calls and same_fields and (self.text is None or self.text.is_same)


FIGURES = ("First token", "Total", "Tokens in", "Tokens out", "Tokens/s", "Cost")


class ComparePages:
    """Renders the result of a comparison's last question."""

    def __init__(self, folder: Path) -> None:
        self._template = make_templates(folder).get_template("compare.html")

    def result(self, talk: Talk, asked: Asked, verdicts: Sequence[Verdict] = ()) -> str:
        """Return figures, verdicts and differences; empty before the first answers."""
        turns = talk.last
        if not turns:
            return ""
        names = names_of(asked, turns)
        item = talk.item if talk.is_item and talk.turn == 1 else None
        judged = [*verdicts, *[None] * len(turns)][: len(turns)]
        metric = item.metrics[0] if item else ""
        rows = [figures(*each, metric) for each in zip(names, turns, judged, strict=True)]
        return self._template.render(
            heads=FIGURES,
            rows=rows,
            item=item,
            changes=talk.changes,
            is_judged=any(row.verdict for row in rows),
            pairs=differences(names, turns, [tool.name for tool in asked.tools]),
            link=link_to(talk, asked).address(),
        )


def names_of(asked: Asked, turns: Sequence[Turn]) -> list[str]:
    """Return a name for each side, numbered where two would be the same."""
    names = [
        _reported(turn.answer) if turn.answer else side.model
        for side, turn in zip(asked.sides, turns, strict=True)
    ]
    return [
        f"{name} ({place})" if names.count(name) > 1 else name
        for place, name in enumerate(names, start=1)
    ]


def figures(name: str, turn: Turn, verdict: Verdict, metric: str) -> Figures:
    """Return a side's row; what was not measured or told is "unknown"."""
    words, is_right = verdict_text(verdict, metric)
    if turn.answer is None:
        return Figures(name, ("",) * len(FIGURES), (turn.problem,), words, is_right)
    timings, usage = turn.answer.timings, turn.answer.usage
    cells = (
        seconds(timings.first_token_s),
        seconds(timings.total_s),
        tokens(usage.input_tokens),
        tokens(usage.output_tokens),
        number(timings.tokens_per_s),
        cost(turn.answer.cost_usd),
    )
    ended = ENDS.get(turn.answer.finish_reason)
    notes = (*([ended] if ended else []), *gateway_notes(turn.answer))
    return Figures(name, cells, notes, words, is_right)


def verdict_text(verdict: Verdict, metric: str) -> tuple[str, bool | None]:
    """Return a scorer's word in words, and whether the primary metric is full."""
    if verdict is None:
        return "", None
    if isinstance(verdict, GradingFailure):
        return f"no verdict: {verdict.text}", None
    value, repaired = verdict.values.get(metric), verdict.repaired.get(metric)
    words = [f"{metric} does not apply" if value is None else f"{metric} {share(value)}"]
    if repaired is not None and repaired != value:
        words.append(f"{share(repaired)} repaired")
    words += [verdict.failure] if verdict.failure else []
    return ", ".join(words), None if value is None else value == 1.0


def differences(
    names: Sequence[str], turns: Sequence[Turn], tools: Sequence[str]
) -> list[Compared]:
    """Return how each answer differs from the first one; a side without one is left out."""
    answers = [(name, turn.answer) for name, turn in zip(names, turns, strict=True) if turn.answer]
    if len(answers) < 2:
        return []
    (name_a, first), *others = answers
    return [compared(name_a, name, first, answer, tools) for name, answer in others]


def compared(
    name_a: str, name_b: str, a: Generation, b: Generation, tools: Sequence[str]
) -> Compared:
    """Compare two answers: their calls, then their texts as JSON or word by word."""
    has_calls = bool(tools or a.tool_calls or b.tool_calls)
    calls = call_diff((a.text, a.tool_calls), (b.text, b.tool_calls), tools) if has_calls else ()
    if calls is None:
        written = text_diff(shown_answer(a), shown_answer(b))
        return Compared(name_a, name_b, (), None, written, is_unread=True)
    fields = json_diff(a.text, b.text)
    has_text = bool(a.text.strip() or b.text.strip())
    text = text_diff(a.text, b.text) if has_text and fields is None else None
    return Compared(name_a, name_b, calls, fields, text)


def link_to(talk: Talk, asked: Asked) -> CompareLink:
    """Return the link that opens these models with the first question."""
    models = tuple(side.model for side in asked.sides)
    if talk.is_item and talk.item:
        return CompareLink(models, task=talk.item.task, item=talk.item.id)
    return CompareLink(models, prompt=talk.sides[0][0].question)


def _reported(generation: Generation) -> str:
    adapter = generation.adapter
    return generation.model.id + (f"@{adapter.id}" if adapter else "")
