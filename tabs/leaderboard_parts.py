"""The parts of the Leaderboard tab, made from the parts of a running Understudy."""

from collections.abc import Mapping
from pathlib import Path

from core.access import Access
from core.errors import AppError
from core.services import Services
from core.settings import PROJECT
from evals.bench import Bench
from evals.dataset import dataset_digest, read_samples
from evals.eval_runs import BenchCarry, EvalRuns
from evals.leaderboard_files import FileMemory
from evals.leaderboard_items import ItemReader
from evals.leaderboard_runs import RunIndex, RunSummary
from evals.sample import Sample
from evals.task_files import list_tasks, load_task
from tabs.chat_options import model_choices
from tabs.leaderboard_markup import LeaderboardPages
from tabs.leaderboard_page import LeaderboardParts
from tabs.leaderboard_runs import RunsPanel

REMEMBERED = 4
"""Datasets that stay in memory."""
Dataset = tuple[str, Mapping[str, Sample]]
"""Digest of a file, and its samples by id."""


class TaskSamples:
    """The samples of tasks, read when an item is first looked at."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._memory: FileMemory[Dataset] = FileMemory(REMEMBERED)

    def __call__(self, run: RunSummary) -> Mapping[str, Sample]:
        """Return the run's samples; none where its dataset is gone or has changed."""
        try:
            task = load_task(run.task, self._home)
            digest, samples = self._memory.get((task.dataset,), _read)
        except AppError:
            return {}
        return samples if digest == run.version.data_digest else {}


def make_leaderboard(services: Services, access: Access) -> LeaderboardParts:
    """Return the parts; no run folder is read yet."""
    home, catalog = services.settings.home, services.catalog

    def models() -> list[tuple[str, str]]:
        return model_choices(services.gateway.traffic)

    def tasks() -> tuple[str, ...]:
        return list_tasks(home)

    panel = RunsPanel(
        runs=EvalRuns(home, BenchCarry(Bench.of(services))),
        models=models,
        tasks=tasks,
        first_model=catalog.resolve(catalog.default_model).id,
    )
    return LeaderboardParts(
        index=RunIndex(home),
        items=ItemReader(TaskSamples(home)),
        pages=LeaderboardPages(PROJECT / "assets" / "pages"),
        panel=panel,
        access=access,
    )


def _read(path: Path) -> Dataset:
    return dataset_digest(path), {sample.id: sample for sample in read_samples(path)}
