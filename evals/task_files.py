"""Task files: `NAME.yaml` beside its dataset, in `assets/tasks/` and in `$UNDERSTUDY_HOME/tasks/`.

Every key is checked, and what would fail in the middle of a run fails here: the scorer and its
arguments, the dataset's rows.
"""

import difflib
import hashlib
import re
from pathlib import Path

from core.errors import InputError, NotFoundError
from core.json_text import canonical
from core.messages import GenerationParams, JsonValue
from core.settings import PROJECT
from evals.dataset import read_samples
from evals.sample import Sample
from evals.task import Floor, Task
from evals.task_entry import FloorEntry, Sampling, TaskFile, read_entry
from evals.task_scorer import scorer_of

SHIPPED = PROJECT / "assets" / "tasks"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.jsonl")


def list_tasks(home: Path) -> tuple[str, ...]:
    """Return the names of all tasks, sorted; the files are not read.

    Raises:
        InputError: a task of the user's has the name of a shipped one.
    """
    shipped, own = _names(SHIPPED), _names(home / "tasks")
    for name in sorted(shipped & own):
        raise _clash(name, home)
    return tuple(sorted(shipped | own))


def load_task(name: str, home: Path) -> Task:
    """Read and check one task file; the dataset is not read.

    Raises:
        InputError: the name, a key or a value is wrong, or two files have the name.
        NotFoundError: there is no such task, or its dataset is missing.
        StorageError: the file can't be read.
    """
    path = task_path(name, home)
    task = _task(name, path, read_entry(path))
    if not task.dataset.is_file():
        raise NotFoundError(f"task {name!r}: its dataset {str(task.dataset)!r} is missing")
    scorer_of(task)
    return task


def task_path(name: str, home: Path) -> Path:
    """Return where the task's file is.

    Raises:
        InputError: the name can't be one, or two files have it.
        NotFoundError: there is no such task.
    """
    check_name(name)
    found = [p for p in (SHIPPED / f"{name}.yaml", home / "tasks" / f"{name}.yaml") if p.is_file()]
    if len(found) > 1:
        raise _clash(name, home)
    if not found:
        names = list_tasks(home)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(names)}"
        raise NotFoundError(f"no task named {name!r}; {hint}")
    return found[0]


def check_name(name: str) -> None:
    """Refuse what can't be a task's name.

    Raises:
        InputError: it is not 1 to 64 lower-case letters, digits, `-` and `_`.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} can't be a task's name: use 1 to 64 lower-case letters, digits, "
            "'-' and '_', beginning with a letter or digit"
        )


def samples_of(task: Task) -> tuple[Sample, ...]:
    """Return the task's samples in file order.

    Raises:
        NotFoundError: the dataset is missing.
        InputError: a row is wrong, there is none, or row and task both have a system prompt.
        StorageError: the dataset can't be read.
    """
    samples = tuple(read_samples(task.dataset))
    if not samples:
        raise InputError(f"task {task.name!r}: its dataset {task.dataset.name!r} has no rows")
    for sample in samples:
        if task.system and sample.messages[0].role == "system":
            raise InputError(
                f"task {task.name!r}: sample {sample.id!r} has a system message, and so has the "
                "task; leave one of them out"
            )
    return samples


def task_digest(task: Task) -> str:
    """Return `sha256:...` over what affects a score besides the dataset and the grader's code.

    Those are system prompt, scorer, arguments, parameters and metrics; not name, description,
    floor and labels. The dataset's own digest is `dataset_digest(task.dataset)`.
    """
    parts: dict[str, JsonValue] = {
        "system": task.system,
        "scorer": task.scorer,
        "arguments": task.arguments,
        "params": task.params.to_dict(),
        "metrics": list(task.metrics),
    }
    return f"sha256:{hashlib.sha256(canonical(parts).encode()).hexdigest()}"


def _names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.yaml") if NAME.fullmatch(path.stem)}


def _clash(name: str, home: Path) -> InputError:
    own = home / "tasks" / f"{name}.yaml"
    return InputError(f"{str(own)!r} has the name of a task that is shipped; rename the file")


def _task(name: str, path: Path, entry: TaskFile) -> Task:
    dataset = entry.dataset or f"{name}.jsonl"
    if not DATASET.fullmatch(dataset):
        raise InputError(f"{path}: dataset: {dataset!r} must be a .jsonl file in the same folder")
    if not entry.metrics or len(set(entry.metrics)) < len(entry.metrics):
        raise InputError(f"{path}: metrics: name at least one, each once")
    return Task(
        name=name,
        description=entry.description,
        dataset=path.parent / dataset,
        system=entry.system,
        scorer=entry.scorer,
        arguments=entry.arguments,
        metrics=entry.metrics,
        params=_params(path, entry.params),
        floor=_floor(path, entry.floor),
        labels=entry.labels,
    )


def _params(path: Path, given: Sampling) -> GenerationParams:
    try:
        return GenerationParams(
            temperature=given.temperature,
            top_p=given.top_p,
            max_tokens=given.max_tokens,
            seed=given.seed,
            stop=given.stop,
        )
    except InputError as error:
        raise InputError(f"{path}: params: {error}") from error


def _floor(path: Path, given: FloorEntry | None) -> Floor | None:
    if given is None:
        return None
    if not given.answers or not 0.0 <= given.value <= 1.0:
        raise InputError(f"{path}: floor: needs at least one answer, and a value of 0.0 to 1.0")
    return Floor(answers=given.answers, value=given.value)
