"""`python -m tests.training.jobs_supervisor`: a supervisor of scripted workers."""

import json
import logging
import os
from contextlib import closing

from core.errors import TrainingError
from core.settings import Settings
from core.store import Store, open_store
from training.job_home import start_supervisor
from training.job_tending import Means
from training.jobs import Jobs
from training.launch import LocalExecutor
from training.supervisor import supervise

MODULE, WORKER = "tests.training.jobs_supervisor", "tests.training.jobs_worker"


def scripted_jobs(settings: Settings, store: Store) -> Jobs:
    """Return the jobs of a home whose workers do as their runs' scripts say."""

    def finish(run: str) -> None:
        script = json.loads((settings.home / "runs" / run / "script.json").read_text())
        if script.get("finish_fails"):
            raise TrainingError("its adapter is not what was written")
        if script.get("finish_crashes"):
            raise RuntimeError("nobody foresaw this")

    means = Means(
        executors={"local": LocalExecutor(settings.home / "runs", WORKER)},
        finish=finish,
        start=lambda: start_supervisor(settings, MODULE),
    )
    return Jobs(store, settings.home, means)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    found = Settings.from_env(os.environ)
    with closing(open_store(found.database_url)) as opened:
        supervise(scripted_jobs(found, opened))
