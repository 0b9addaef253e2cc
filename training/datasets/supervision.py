"""Which tokens of an example are learnt: the audit counts them, the trainer trains on them.

The text is the chat template's own, as at inference. Where the template marks what the assistant
says (`{% generation %}`), its marks count. Elsewhere a turn is what its rendering adds to the
rendering of all before it; a template that rewrites earlier turns is refused, not guessed at.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InputError
from core.messages import Message
from core.providers.prompt import PLAIN_TEMPLATE, _as_template
from training.datasets.example import Example

MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""Begins what the assistant says, in a template that marks it."""
Span = tuple[int, int]
"""From and to, in characters of a rendered text."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """An example in tokens, cut at the window."""

    tokens: list[int]
    is_supervised: list[bool]
    """As long as `tokens`."""
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """An example as the template writes it."""

    text: str
    spans: tuple[Span, ...]
    """What is learnt, in order."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A rendered example, whole, in tokens."""

    rendered: Rendered
    tokens: list[int]
    is_supervised: list[bool]
    starts: list[int]
    """Character of the text at which each token starts."""

    def cut(self, max_length: int) -> Supervised:
        """Return the first `max_length` tokens."""
        return Supervised(
            tokens=self.tokens[:max_length],
            is_supervised=self.is_supervised[:max_length],
            is_truncated=len(self.tokens) > max_length,
        )


def supervise(example: Example, tokenizer: Any, max_length: int) -> Supervised:
    """Return the example's tokens and which of them are learnt, cut on the right.

    Of a preference, the better answer is read; `example.worse` exchanges the two. It may be that
    nothing within the window is learnt: that is for the caller to count or refuse.

    Raises:
        InputError: the template can't render the messages or rewrites earlier turns, it has no
            place for tools and there are some, or the tokenizer can't tell where tokens begin.
    """
    return encode(example, tokenizer).cut(max_length)


def encode(example: Example, tokenizer: Any) -> Encoded:
    """Return the whole example in tokens.

    Raises:
        InputError: as `supervise`.
    """
    if not tokenizer.is_fast:
        raise InputError("the tokenizer has no tokenizer.json, so it can't tell where tokens begin")
    rendered = render(example, tokenizer)
    encoded = tokenizer(
        rendered.text,
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,  # No warning about lengths: the window is cut by the caller.
    )
    # A token of white space alone may be reported as nothing, at its own end.
    starts = [a if b > a else max(a - 1, 0) for a, b in encoded["offset_mapping"]]
    return Encoded(rendered, list(encoded["input_ids"]), _within(starts, rendered.spans), starts)


def render(example: Example, tokenizer: Any) -> Rendered:
    """Return the example as text, with what is learnt of it.

    Raises:
        InputError: as `supervise`.
    """
    template = _Template(example, tokenizer)
    spans = template.marked() if template.is_marked else template.added()
    return Rendered(template.text, spans)


def _within(starts: Sequence[int], spans: Sequence[Span]) -> list[bool]:
    flags, at = [], 0
    for start in starts:
        while at < len(spans) and start >= spans[at][1]:
            at += 1
        flags.append(at < len(spans) and start >= spans[at][0])
    return flags


class _Template:
    """The tokenizer's chat template, applied to one example."""

    def __init__(self, example: Example, tokenizer: Any) -> None:
        self._turns = example.conversation
        self._learnt = example.learnt
        self._tokenizer = tokenizer
        self._tools = [tool.to_openai() for tool in example.tools] or None
        if tokenizer.chat_template:
            self.source: str = tokenizer.get_chat_template(tools=self._tools)
        else:
            self.source = PLAIN_TEMPLATE.read_text(encoding="utf-8")
        if self._tools and "tools" not in self.source:
            raise InputError("the chat template has no place for tools; leave them out")
        self.is_marked = MARK.search(self.source) is not None
        self.text, self._marks = self._render(self._turns, is_marked=self.is_marked)

    def marked(self) -> tuple[Span, ...]:
        """Return the spans of the learnt turns, by the template's own marks."""
        own = [index for index, turn in enumerate(self._turns) if turn.role == "assistant"]
        if len(self._marks) == len(own):
            pairs = zip(own, self._marks, strict=True)
            return tuple(span for index, span in pairs if index in self._learnt)
        if len(own) == len(self._learnt):
            return tuple(self._marks)
        raise InputError(
            f"the chat template marks {len(self._marks)} parts of {len(own)} turns of the "
            "assistant, so it can't be told which of them are learnt"
        )

    def added(self) -> tuple[Span, ...]:
        """Return the spans of the learnt turns, by what each adds to those before it."""
        spans = []
        for index in self._learnt:
            before, _ = self._render(self._turns[:index], is_open=True)
            after, _ = self._render(self._turns[: index + 1])
            if not (self.text.startswith(after) and after.startswith(before)):
                raise InputError(
                    "the chat template rewrites earlier turns when later ones follow; give each "
                    "answer an example of its own, or use a template with {% generation %}"
                )
            spans.append((len(before), len(before) + self._said(after[len(before) :])))
        return tuple(spans)

    def _said(self, added: str) -> int:
        """Return the length of a turn without the white space after its end token."""
        said = added.rstrip()
        ends = tuple(str(token) for token in self._tokenizer.all_special_tokens)
        return len(said) if ends and said.endswith(ends) else len(added)

    def _render(
        self, turns: Sequence[Message], *, is_open: bool = False, is_marked: bool = False
    ) -> tuple[str, list[Span]]:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            texts, marks = render_jinja_template(
                conversations=[[_as_template(turn) for turn in turns]],
                tools=self._tools,
                chat_template=self.source,
                return_assistant_tokens_mask=is_marked,
                add_generation_prompt=is_open,
                **self._tokenizer.special_tokens_map,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise InputError(f"the chat template refuses the messages: {error}") from error
        return str(texts[0]), [(int(a), int(b)) for a, b in marks[0]] if is_marked else []
