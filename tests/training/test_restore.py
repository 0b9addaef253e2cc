"""A run whose disk was lost is a job again, and ends as a registered version."""

import argparse
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InputError, NotFoundError
from core.services import Services
from core.settings import Settings
from core.store import open_store
from tests.training.jobs_home import Home, steps_done
from tests.training.registry_runs import completed_run
from tests.training.test_checkpoints import flip_bit, save
from training.checkpoints import commit, part_of
from training.job_command import jobs_command
from training.job_restore import processes_of, restore_job
from training.job_tending import Means
from training.jobs import Jobs
from training.learnt import choose
from training.mirror import Mirror
from training.mirror_files import open_store as open_mirror
from training.registry import Registry
from training.run_folder import CHECKPOINTS


@pytest.fixture
def home(settings: Settings, sqlite_url: str) -> Iterator[Home]:
    settings = replace(settings, database_url=sqlite_url)
    with closing(open_store(sqlite_url)) as store:
        made = Home(settings, store)
        yield made
        made.kill_all()


def lost(folder: Path, url: str) -> None:
    """Mirror a run, and lose its disk."""
    (folder / "mirror").mkdir()
    assert Mirror(folder, open_mirror(url, folder.name)).run() == 0
    shutil.rmtree(folder)


def test_a_restored_run_is_a_job_that_goes_on(home: Home, tmp_path: Path) -> None:
    url, folder = f"file://{tmp_path}/store", home.run("burnt", steps=3)
    save(folder / CHECKPOINTS, 2)
    lost(folder, url)
    with pytest.raises(NotFoundError, match="no run named 'other'; it has: burnt"):
        restore_job(home.jobs, url, "other")
    with pytest.raises(InputError, match="can't be a run's name"):
        restore_job(home.jobs, url, "../burnt")
    view = restore_job(home.jobs, url, "burnt")
    assert (view.job.status, view.is_resumable, view.facts.committed) == ("interrupted", True, 2)
    with pytest.raises(InputError, match="is here already; go on with: jobs resume burnt"):
        restore_job(home.jobs, url, "burnt")
    (folder / "script.json").write_text(json.dumps({"steps": 3}))
    home.jobs.resume("burnt")
    home.until_status("burnt", "completed")
    assert steps_done(folder) == {3: 1}


def test_a_restored_run_that_was_completed_is_a_version_at_once(
    services: Services, adapter_folder: Path, tmp_path: Path
) -> None:
    url, home = f"file://{tmp_path}/store", services.settings.home
    folder = completed_run(home, services.catalog, "done", adapter_folder)
    lost(folder, url)
    registry = Registry(services.store, home)
    means = Means(executors={}, finish=registry.register_if_any, start=lambda: None)
    view = restore_job(Jobs(services.store, home, means), url, "done")
    assert (view.job.status, view.adapter) == ("completed", "tiny@tiny-sft-v1")
    assert registry.check("tiny-sft-v1")


def test_as_many_processes_go_on_as_there_were(tmp_path: Path) -> None:
    part = part_of(tmp_path / CHECKPOINTS, 4)
    for name in ("optimizer.pt", "rng_state_0.pth", "rng_state_1.pth"):
        (part / name).write_text("x")
    commit(part, 4, "plan", {})
    assert processes_of(tmp_path) == 2
    assert processes_of(tmp_path / "empty") == 1


def test_restore_wants_a_mirror_and_nothing_else_takes_one(settings: Settings) -> None:
    for action, mirror in (("restore", None), ("show", "file:///x")):
        with pytest.raises(InputError, match=f"jobs {action} (needs|takes no) --mirror URL"):
            jobs_command(argparse.Namespace(action=action, id="a", mirror=mirror), settings)


def test_the_best_whole_checkpoint_takes_the_place_of_a_lost_one(tmp_path: Path) -> None:
    losses = [(10, 0.5), (20, 0.3), (30, 0.4)]
    for step in (10, 30, 35):
        save(tmp_path, step)
    choice = choose(tmp_path, losses, 35)
    assert (choice.step, choice.wanted) == (30, 20)
    assert choice.lost == "manifest.json: No such file or directory"
    flip_bit(tmp_path / "step-30" / "optimizer.pt")
    assert choose(tmp_path, losses, 35).step == 10
    assert choose(tmp_path, [(20, 0.3), (30, 0.4)], 35).step == 35
    assert choose(tmp_path, [(10, 0.1)], 35).lost is None
