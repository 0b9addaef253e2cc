"""The answers of runs as a judge takes them, and the models that gave them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.messages import Message
from evals.dataset import dataset_digest
from evals.judge.candidates import Candidate
from evals.judge.pairwise import Pair
from evals.judge.pointwise import Item
from evals.judge.prompts import conversation_text
from evals.manifest import Key, Manifest
from evals.run_files import RunFolder, last_rows
from evals.run_rows import Row
from evals.sample import Answer, Sample
from evals.task import Task
from evals.task_files import load_task, samples_of


@dataclass(frozen=True, slots=True)
class RunAnswers:
    """The answers of one run."""

    manifest: Manifest
    items: Mapping[Key, Item]
    """In the planned order; answers that are missing are left out."""

    @property
    def unanswered(self) -> int:
        """Return how many planned answers there are not."""
        return len(self.manifest.keys) - len(self.items)

    @property
    def candidate(self) -> Candidate:
        """Return the model that answered."""
        return candidate_of(self.manifest)


def read_answers(folder: RunFolder, home: Path) -> RunAnswers:
    """Return the answers of a run with what was asked.

    Raises:
        InputError: the task's rows are no longer those that the run answered.
        NotFoundError, StorageError: the task or the run can't be read.
    """
    manifest = folder.manifest()
    task = load_task(manifest.task, home)
    if dataset_digest(task.dataset) != manifest.data_digest:
        raise InputError(
            f"the rows of task {task.name!r} have changed since run {folder.run!r}; run it again"
        )
    samples = {sample.id: sample for sample in samples_of(task)}
    rows = last_rows(folder.rows())
    items = {
        key: item_of(task, samples[key.id], rows[key])
        for key in manifest.keys
        if key in rows and rows[key].status == "ok"
    }
    return RunAnswers(manifest, items)


def item_of(task: Task, sample: Sample, row: Row) -> Item:
    """Return one answer as a judge takes it."""
    system = (Message("system", task.system),) if task.system else ()
    return Item(
        id=row.id,
        conversation=conversation_text((*system, *sample.messages)),
        answer=answer_text(row.answer()),
        repeat=row.repeat,
        group=sample.group,
    )


def answer_text(answer: Answer) -> str:
    """Return the whole of an answer: its text, and the calls that came apart from it."""
    calls = [f"{call.name} {call.arguments}" for call in answer.tool_calls or ()]
    return "\n".join([answer.text, *calls] if answer.text else calls)


def candidate_of(manifest: Manifest) -> Candidate:
    """Return the model of a run, as a judge must not be."""
    digests = (manifest.model_digest, manifest.adapter_digest)
    return Candidate(manifest.model, tuple(digest for digest in digests if digest))


def pairs_of(one: RunAnswers, other: RunAnswers) -> list[Pair]:
    """Return the answers of two runs to the same prompts.

    Raises:
        InputError: the runs are of different tasks, rows or items, or of the same weights.
    """
    a, b = one.manifest, other.manifest
    if (a.task, a.data_digest) != (b.task, b.data_digest) or set(a.keys) != set(b.keys):
        raise InputError(
            f"runs {a.run!r} and {b.run!r} are not of the same task, rows and items; "
            "only answers to the same prompts can be compared"
        )
    if (a.served, a.params) == (b.served, b.params):
        raise InputError(f"runs {a.run!r} and {b.run!r} are of the same model; name another run")
    return [
        Pair(key.id, item.conversation, item.answer, other.items[key].answer, key.repeat)
        for key, item in one.items.items()
        if key in other.items
    ]
