"""Completed runs without the training: their folders as a worker leaves them."""

import json
import shutil
from pathlib import Path

from core.catalog import Catalog
from core.digests import folder_digest
from training.config import TrainConfig
from training.events import EventLog
from training.run_folder import create_run

ROW = {
    "id": "r1",
    "group": "r1",
    "source": "test",
    "messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada."}],
}


def begun_run(home: Path, catalog: Catalog, name: str, **values: object) -> Path:
    """Make a run's folder; nothing has been trained."""
    rows = home / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    raw = {"model": "tiny", "dataset": str(rows), "max_length": 64, **values}
    return create_run(home, name, TrainConfig.from_dict(raw), catalog)


def completed_run(home: Path, catalog: Catalog, name: str, adapter: Path, **values: object) -> Path:
    """Make the folder of a run that has ended with this adapter."""
    folder = begun_run(home, catalog, name, **values)
    shutil.copytree(adapter, folder / "adapter", ignore=shutil.ignore_patterns("README.md"))
    base = catalog.models["tiny"].path
    assert base is not None
    log = EventLog(folder)
    log.write("started", 0, total_steps=2, base_digest=folder_digest(Path(base)), examples=1)
    log.write("step", 1, loss=2.5, tokens=10, memory_gb=0.5)
    log.write("step", 2, loss=2.25, tokens=12, memory_gb=0.75)
    digest = folder_digest(folder / "adapter")
    log.write("completed", 2, path="adapter", digest=digest, eval_loss=2.125, best_step=2)
    log.close()
    return folder
