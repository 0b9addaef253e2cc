"""Importing a dataset: a task file and its rows in `$UNDERSTUDY_HOME/tasks/`, both or neither."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml

from core.errors import InputError, StorageError
from core.messages import JsonValue
from evals.dataset import dataset_digest, read_samples
from evals.floors import measure_floor, trivial_answers
from evals.importers.formats import FORMATS
from evals.importers.tally import ImportReport, Tally
from evals.task import Floor, Task
from evals.task_files import SHIPPED, check_name

MAX_FLOOR_ROWS = 5_000
"""Rows up to which trivial answers are graded, so that the task has a floor."""


def import_dataset(format: str, path: Path, name: str, home: Path) -> ImportReport:
    """Read a file into a task of this name, and say what was read and what was refused.

    Rows that can't be used are left out and counted; everything else is taken. Importing the same
    file again under the same name changes nothing.

    Raises:
        InputError: there is no such format, no row could be read, the name can't be one or is
            taken by another task.
        NotFoundError: there is no such file.
        StorageError: the file can't be read, or the task can't be written.
    """
    read = FORMATS.get(format)
    if read is None:
        raise InputError(f"no format named {format!r}; choose one of: {', '.join(FORMATS)}")
    check_name(name)
    if (SHIPPED / f"{name}.yaml").exists():
        raise InputError(f"{name!r} is a task that is shipped; choose another name")
    folder = home / "tasks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as scratch:
            rows, entry = Path(scratch) / f"{name}.jsonl", Path(scratch) / f"{name}.yaml"
            tally = Tally(rows)
            _write(rows, tally.accepted(read(path)))
            if tally.task is None:
                raise InputError(f"no row of {path.name!r} could be read{tally.refusals.first()}")
            description = f"Imported from {path.name} ({format})."
            _write(entry, [_entry(description, tally.task, _floor(tally.task, tally.read))])
            is_unchanged = _place(rows, entry, folder)
    except OSError as error:
        raise StorageError(f"the task can't be written to {str(folder)!r}: {error}") from error
    return tally.report(format, folder / f"{name}.yaml", is_unchanged=is_unchanged)


def _write(path: Path, texts: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(texts)
        handle.flush()
        os.fsync(handle.fileno())


def _floor(task: Task, rows: int) -> Floor | None:
    if rows > MAX_FLOOR_ROWS:
        return None
    samples = tuple(read_samples(task.dataset))
    return measure_floor(task, samples, trivial_answers(task, samples))


def _entry(description: str, task: Task, floor: Floor | None) -> str:
    """Return the text of a task file."""
    entry: dict[str, JsonValue] = {"description": description}
    if task.system:
        entry["system"] = task.system
    entry["scorer"] = task.scorer
    if task.arguments:
        entry["arguments"] = task.arguments
    entry["metrics"] = list(task.metrics)
    entry["params"] = {"max_tokens": task.params.max_tokens}
    if floor is not None:
        entry["floor"] = {"answers": list(floor.answers), "value": floor.value}
    return yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=100)


def _place(rows: Path, entry: Path, folder: Path) -> bool:
    """Move both files into the folder, the task last: without it the rows are no task."""
    target = folder / entry.name
    if target.exists():
        if _same(entry, target) and _same(rows, folder / rows.name):
            return True
        raise InputError(
            f"{str(target)!r} is there already and holds something else; choose another name, or "
            "remove it and its .jsonl"
        )
    os.replace(rows, folder / rows.name)
    os.replace(entry, target)
    return False


def _same(one: Path, other: Path) -> bool:
    return other.exists() and dataset_digest(one) == dataset_digest(other)
