"""What a run asks: its task as it was planned, and the request for each of its answers."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import InputError
from core.messages import GenerationRequest, Message
from evals.answer_rows import Ask
from evals.dataset import dataset_digest
from evals.manifest import Key, Manifest
from evals.sample import Sample
from evals.task import Task
from evals.task_files import load_task, samples_of, task_digest

CALLER = "evals"


@dataclass(frozen=True, slots=True)
class Planned:
    """A run that can be asked."""

    manifest: Manifest
    task: Task
    samples: Mapping[str, Sample]
    """By id."""
    stop: threading.Event
    """Ends every request once it is set."""

    @staticmethod
    def of(home: Path, manifest: Manifest, stop: threading.Event) -> "Planned":
        """Return a run with what it takes from its task.

        Raises:
            InputError: the task or its dataset has changed since the run was planned.
            NotFoundError: it is gone.
        """
        task = _checked_task(home, manifest)
        return Planned(manifest, task, _samples(task, manifest), stop)

    def ask(self, key: Key, attempt: int) -> Ask:
        """Return the request for an answer; sampled ones have a seed of their own."""
        manifest, sample = self.manifest, self.samples[key.id]
        params = manifest.generation_params
        if params.temperature > 0:
            params = replace(params, seed=manifest.seed + key.repeat)
        may_use_cache = manifest.uses_cache and params.temperature == 0
        system = (Message("system", self.task.system),) if self.task.system else ()
        request = GenerationRequest(
            model=manifest.model,
            messages=(*system, *sample.messages),
            params=params,
            caller=CALLER,
            tools=sample.tools,
            is_admin=True,
            cache="auto" if may_use_cache else "off",
            cancel=self.stop,
        )
        return Ask(manifest.run, key, request, attempt)


def _checked_task(home: Path, manifest: Manifest) -> Task:
    """Return the run's task as it was when the run was planned.

    Raises:
        InputError: the task or its dataset has changed since.
        NotFoundError: it is gone.
    """
    task = load_task(manifest.task, home)
    for what, now, then in (
        ("task", task_digest(task), manifest.task_digest),
        ("dataset", dataset_digest(task.dataset), manifest.data_digest),
    ):
        if now != then:
            raise InputError(
                f"the {what} of {manifest.task!r} has changed since run {manifest.run!r} began "
                f"({then} then, {now} now); restore it or start a new run"
            )
    return task


def _samples(task: Task, manifest: Manifest) -> Mapping[str, Sample]:
    """Return the run's samples by id."""
    wanted = set(manifest.items)
    return {sample.id: sample for sample in samples_of(task) if sample.id in wanted}
