"""Answers that were made elsewhere: a file of them becomes a run, and is graded like one.

A row is `{"id", "completion"}` or `{"id", "tool_calls": [{"name", "arguments"}]}`, or has both. A
row with `"completion": null` and no calls says that there is no answer; so does no row at all.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import InputError, NotFoundError, StorageError
from evals.bench import Bench
from evals.dataset import dataset_digest
from evals.graders import grader_version
from evals.identity import package_versions
from evals.manifest import Manifest
from evals.plan import ordered
from evals.run_files import RunFolder, create_run, runs_folder, write_whole
from evals.run_rows import Row
from evals.task import Task
from evals.task_files import load_task, samples_of, task_digest

SHOWN = 3
"""Ids that an error names."""


def predictions_run(bench: Bench, task_name: str, path: Path, model: str | None) -> RunFolder:
    """Make a run of a file of answers; the same file, task and grader are the same run again.

    `model` is what the leaderboard calls who answered; None: the file's name.

    Raises:
        InputError: a line is no answer, or its id comes twice or is not the task's.
        NotFoundError: there is no such task or file.
        StorageError: the file can't be read, or the run can't be written.
    """
    task, content = load_task(task_name, bench.home), _read(path)
    items = tuple(sample.id for sample in ordered(samples_of(task), 0, None))
    rows = list(_rows(path, content, frozenset(items)))
    manifest = _manifest(task, items, content, (model or path.stem)[:100])
    version = grader_version(bench, task, manifest)
    return _written(bench.home, replace(manifest, grader_version=version), rows)


def _manifest(task: Task, items: tuple[str, ...], content: bytes, model: str) -> Manifest:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Manifest(
        run="",
        task=task.name,
        task_digest=task_digest(task),
        data_digest=dataset_digest(task.dataset),
        grader_version="",
        model=model,
        provider="predictions",
        model_digest=f"predictions:{digest}",
        adapter_digest=None,
        served=digest,
        params=task.params.to_dict(),
        repeats=1,
        items=items,
        seed=0,
        mode="predictions",
        plan=None,
        uses_cache=False,
        created_at=datetime.now(UTC).isoformat(),
        versions=package_versions(),
        device=None,
        precision=None,
    )


def _written(home: Path, manifest: Manifest, rows: Sequence[Row]) -> RunFolder:
    """Write the run under a name made of its contents; one that is there keeps its manifest."""
    parts = (manifest.model, manifest.task_digest, manifest.data_digest, manifest.grader_version)
    text = "\n".join([*parts, manifest.served])
    name = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    whole = replace(manifest, run=f"predictions-{manifest.task}-{name}")
    folder = RunFolder(runs_folder(home) / whole.run)
    if not (folder.path / "manifest.json").exists():
        create_run(home, whole)
    write_whole(folder.generations_path, b"".join(row.to_line() for row in rows))
    return folder


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {str(path)!r}") from error
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error


def _rows(path: Path, content: bytes, items: frozenset[str]) -> Iterator[Row]:
    """Yield the answers, checked against the task's ids."""
    first_at: dict[str, int] = {}
    foreign: list[str] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _row(line)
        except InputError as error:
            raise InputError(f"{path.name}, line {number}: {error}") from error
        if row.id in first_at:
            raise InputError(
                f"{path.name}, line {number}: the id {row.id[:100]!r} stands on line "
                f"{first_at[row.id]} already"
            )
        first_at[row.id] = number
        if row.id in items:
            yield row
        else:
            foreign.append(row.id)
    _refuse_foreign(path, foreign, first_at)


def _refuse_foreign(path: Path, foreign: Sequence[str], first_at: Mapping[str, int]) -> None:
    if not first_at:
        raise InputError(f"{path.name} holds no answers; it needs one JSON object on each line")
    if foreign:
        named = ", ".join(repr(name[:60]) for name in foreign[:SHOWN])
        raise InputError(
            f"{path.name}: {len(foreign)} ids are not the task's, such as {named}; grade it with "
            "the task that was answered"
        )


def _row(line: bytes) -> Row:
    value = _object(line)
    name = value.get("id")
    name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
    if not isinstance(name, str) or not name:
        raise InputError("'id' must be a text that is not empty")
    text, calls = value.get("completion"), value.get("tool_calls")
    if text is not None and not isinstance(text, str):
        raise InputError("'completion' must be a text")
    if text is None and calls is None:
        if "completion" not in value and "tool_calls" not in value:
            raise InputError("a row needs 'completion' or 'tool_calls'")
        return Row(name, 0, "error", 1, error="the file has no answer", error_kind="no_answer")
    return Row(name, 0, "ok", 1, text=text or "", tool_calls=_calls(calls))


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start + 1} of the line") from error
    except RecursionError as error:
        raise InputError("not JSON: it nests too deeply") from error
    except ValueError as error:
        raise InputError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError('a row must be an object like {"id": "1", "completion": "..."}')
    return value


def _calls(value: object) -> tuple[Mapping[str, str], ...] | None:
    """Read calls, also in OpenAI's shape; arguments are an object, or its JSON as text."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise InputError("'tool_calls' must be a list")
    return tuple(_call(call) for call in value)


def _call(value: object) -> Mapping[str, str]:
    inner = value.get("function", value) if isinstance(value, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(name, str):
        raise InputError('a tool call must be an object like {"name": "...", "arguments": {}}')
    arguments = inner.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {"name": name, "arguments": arguments}
