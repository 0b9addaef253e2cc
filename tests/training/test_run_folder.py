"""A run's rows: those of the moment it was made, and the split that belongs to them."""

import json
from pathlib import Path

from core.services import Services
from tests.training.registry_runs import ROW
from training.config import TrainConfig
from training.datasets.importing import import_dataset
from training.run_folder import ROWS, create_run, file_digest, find_rows, read_run


def test_a_run_keeps_its_rows_when_a_file_of_somebodys_changes(services: Services) -> None:
    home, path = services.settings.home, services.settings.home / "mine.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    version = import_dataset(home, path, "desk").version
    folders = {}
    for name in (str(path), "desk@v1"):
        config = TrainConfig.from_dict({"model": "tiny", "dataset": name, "max_length": 64})
        folders[name] = create_run(home, f"run-{len(folders)}", config, services.catalog)
    with path.open("a") as handle:
        handle.write(json.dumps({**ROW, "id": "r2"}) + "\n")
    for folder in folders.values():
        assert file_digest(folder / ROWS) == read_run(folder).dataset_digest
    assert (folders["desk@v1"] / ROWS).samefile(version.path), "a version is not copied"


def test_splits_beside_a_file_belong_to_rows_jsonl_alone(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    for name in ("rows.jsonl", "mine.jsonl"):
        (tmp_path / name).write_text("{}\n")
    assert find_rows(tmp_path, str(tmp_path / "mine.jsonl")).splits is None
    for dataset in (tmp_path, tmp_path / "rows.jsonl"):
        assert find_rows(tmp_path, str(dataset)).splits == tmp_path / "splits"
