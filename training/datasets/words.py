"""How texts of examples are compared: folded texts, their words, and the values they mention."""

import re
import unicodedata
from collections.abc import Sequence

from core.json_text import JsonRead, canonical, parse_json
from core.messages import Message
from training.datasets.example import Example

WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"[^\W\d_][\w'’-]*")
NUMBER_OF_ONE = ("I", "I'm", "I'll", "I've", "I’m", "I’ll", "I’ve")
"""Capitalised words that name nothing."""
STARTS = '.!?:;"“”\n([{'
"""Characters after which a capital begins a sentence and says nothing."""


def folded(text: str) -> str:
    """Return the text without what readers overlook: case, white space, width, a last full stop."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.rstrip(".!? ") or plain


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded, without punctuation."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def values_of(text: str) -> tuple[str, ...]:
    """Return the numbers and names that a text mentions, sorted.

    A name is a word with a capital that does not begin a sentence. Texts that differ in one are
    about different things, however alike the rest is.
    """
    found = NUMBER.findall(text)
    for match in NAME.finditer(text):
        word = match[0]
        if word[0].isupper() and word not in NUMBER_OF_ONE:
            before = text[max(0, match.start() - 8) : match.start()].rstrip(" \t*_'")
            if before and before[-1] not in STARTS:
                found.append(word.casefold())
    return tuple(sorted(found))


def turn_text(message: Message) -> str:
    """Return what a turn says, its calls as JSON without ids."""
    calls = [f"{call.name} {_arguments(call.arguments)}" for call in message.tool_calls]
    return "\n".join([message.text, *calls] if message.text else calls)


def turns_text(messages: Sequence[Message]) -> str:
    """Return what turns say, roles included, one after the other."""
    return "\n".join(f"{message.role}: {turn_text(message)}" for message in messages)


def prompt_text(example: Example) -> str:
    """Return what an answer is given to, without the system's turns."""
    return turns_text([turn for turn in example.prompt if turn.role != "system"])


def answer_text(example: Example) -> str:
    """Return the answer, its calls and what tools said in between included."""
    return "\n".join(turn_text(turn) for turn in example.answer)


def asked(messages: Sequence[Message]) -> list[str]:
    """Return what a person said, turn by turn."""
    return [message.text for message in messages if message.role == "user"]


def _arguments(text: str) -> str:
    read = parse_json(text)
    return canonical(read.value) if isinstance(read, JsonRead) else text
