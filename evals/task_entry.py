"""The keys of a task file, and their checks."""

import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from core.errors import InputError, StorageError

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
"""What pydantic calls a key that is none of ours."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is asked; temperature 0 and one completion unless the file says otherwise."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FloorEntry:
    """The trivial answers and what the best of them scored."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    answers: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class TaskFile:
    """The keys of a task file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    description: str
    scorer: str
    metrics: tuple[str, ...]
    """The first is the primary one."""
    dataset: str | None = None
    """Name of a file in the same folder; NAME.jsonl when left out."""
    system: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    params: Sampling = field(default_factory=Sampling)
    floor: FloorEntry | None = None
    labels: dict[str, str] = field(default_factory=dict)


def read_entry(path: Path) -> TaskFile:
    """Read and check the keys of one task file.

    Raises:
        InputError: it is not YAML, has an unknown key or a value of the wrong type.
        StorageError: it can't be read.
    """
    raw = _read(path)
    try:
        entry = TypeAdapter(TaskFile).validate_python(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A misspelt key is also a missing one, and says more.
        first = next((each for each in found if each["type"] in UNKNOWN), found[0])
        where = ".".join(str(part) for part in first["loc"])
        reason = _reason(first["type"], first["msg"], where)
        raise InputError(f"{path}: {where}: {reason}") from error
    try:
        json.dumps(entry.arguments, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: arguments: must be JSON: {error}") from error
    return entry


def _read(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        where = " ".join(str(error).split())
        raise InputError(f"{path} can't be read as YAML: {where}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a mapping with the keys of a task")
    return value


def _reason(kind: str, message: str, where: str) -> str:
    if kind not in UNKNOWN:
        return message[0].lower() + message[1:]
    owners = (TaskFile, Sampling, FloorEntry)
    known = sorted({name for owner in owners for name in owner.__dataclass_fields__})
    close = difflib.get_close_matches(where.rsplit(".", 1)[-1], known, n=1)
    return "unknown key" + (f"; did you mean {close[0]!r}?" if close else "")
