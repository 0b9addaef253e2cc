"""The formats by name, and which of them a row looks like."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject
from core.rows.records import Record, records
from training.datasets.example import Example, example_of
from training.datasets.formats.bfcl import EVALUATION, from_bfcl, with_answers
from training.datasets.formats.calls import from_hermes, from_xlam, from_xlam_structured
from training.datasets.formats.chats import from_messages, from_sharegpt
from training.datasets.formats.pairs import from_alpaca, from_gsm8k, from_prompt_completion
from training.datasets.formats.preferences import from_preference

BFCL = "bfcl"
FORMATS: Mapping[str, Callable[[Record], JsonObject]] = {
    "messages": from_messages,
    "prompt_completion": from_prompt_completion,
    "sharegpt": from_sharegpt,
    "alpaca": from_alpaca,
    "preference": from_preference,
    "xlam": from_xlam,
    "xlam_structured": from_xlam_structured,
    "hermes": from_hermes,
    "gsm8k": from_gsm8k,
    BFCL: from_bfcl,
}
NOTES: Mapping[str, tuple[str, ...]] = {BFCL: (EVALUATION,)}
"""What whoever imports a format must know before training on it."""
MARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("messages",), "messages"),
    (("conversations",), "sharegpt"),
    (("chosen", "rejected"), "preference"),
    (("prompt", "completion", "label"), "preference"),
    (("query", "answers"), "xlam"),
    (("prompt", "completion"), "prompt_completion"),
    (("instruction", "output"), "alpaca"),
    (("question", "function"), BFCL),
    (("question", "answer"), "gsm8k"),
)
"""Keys that tell a format, the most telling first."""
SAME_KEYS: Mapping[str, str] = {
    "hermes": "sharegpt",
    "xlam": "prompt_completion",
    "xlam_structured": "prompt_completion",
}
"""Formats whose rows look like those of a simpler one."""


def reader_of(name: str) -> Callable[[Record], Example]:
    """Return what reads a record of the format.

    Raises:
        InputError: there is no such format.
    """
    convert = FORMATS.get(name)
    if convert is None:
        raise InputError(f"no format named {name!r}; choose one of: {', '.join(FORMATS)}")

    def read(record: Record) -> Example:
        try:
            return example_of(convert(record))
        except InputError as error:
            seen = detect(record.value)
            if seen is None or seen in (name, SAME_KEYS.get(name)):
                raise
            raise InputError(f"{error} (the row looks like {seen})") from error

    return read


def rows_of(path: Path, name: str) -> Iterator[Record]:
    """Yield the rows of a file of the format, with what other files say about them.

    Raises:
        InputError: the file as a whole can't be read as that.
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
    """
    return with_answers(path) if name == BFCL else records(path)


def detect(row: JsonObject) -> str | None:
    """Return the format that a row looks like; None: it looks like none."""
    for keys, name in MARKS:
        if all(row.get(key) is not None for key in keys):
            return _variant(row, name)
    return None


def _variant(row: JsonObject, name: str) -> str:
    """Tell formats apart that have the same keys."""
    if name == "sharegpt" and "<tools>" in str(row["conversations"])[:100_000]:
        return "hermes"
    if name == "prompt_completion" and _is_track(str(row["completion"])):
        return "xlam"
    return name


def _is_track(completion: str) -> bool:
    return completion.startswith("<tool_call name=") or (
        completion.startswith("{") and '"tool_name"' in completion
    )
