"""A run's settings: checked once, with presets underneath, and as they were on disk."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.catalog_files import load_catalog
from core.errors import InputError, ModelNotAllowedError, NotFoundError
from tests.training.tiny_runs import config_of, settings_of
from training.config import RANGES, TrainConfig
from training.job_command import read_config
from training.presets import PRESETS
from training.run_folder import create_run, read_run

LEAST = {"model": "understudy", "dataset": "desk@v1"}


def test_the_tool_call_preset_is_qloras() -> None:
    config = TrainConfig.from_dict({**LEAST, "preset": "tool-call"})
    assert (config.rank, config.alpha, config.learning_rate, config.epochs) == (64, 16, 2e-4, 1.0)
    assert config.method == "qlora"
    assert TrainConfig.from_dict({**LEAST, "preset": "persona"}).rank == 16


def test_what_is_said_overrules_a_preset() -> None:
    assert TrainConfig.from_dict({**LEAST, "preset": "tool-call", "rank": 8}).rank == 8


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_the_way_to_disk(name: str) -> None:
    config = TrainConfig.from_dict({**LEAST, "preset": name, "seed": 7, "batch_tokens": 900})
    assert TrainConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rnk": 8}, "did you mean 'rank'"),
        ({"preset": "fast"}, "choose one of: tool-call, persona"),
        ({"recipe": "ppo"}, "choose one of: sft, dpo, kto"),
        ({"method": "dora"}, "choose one of: qlora, lora, full"),
        ({"rank": 0}, "rank must be"),
        ({"rank": True}, "rank must be"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"learning_rate": float("nan")}, "learning_rate must be"),
        ({"learning_rate": "2e-4"}, "learning_rate must be"),
        ({"epochs": float("inf")}, "epochs must be"),
        ({"max_steps": 0}, "max_steps must be"),
        ({"seed": -1}, "seed must be"),
        ({"packing": 1}, "packing must be"),
        ({"max_length": 5000}, "micro_tokens"),
        ({"recipe": "dpo", "max_length": 4000}, "at least 2 x max_length"),
        ({"recipe": "dpo", "method": "full"}, "trains an adapter"),
        ({"recipe": "dpo", "batch_tokens": 500}, "counts examples"),
        ({"recipe": "kto", "batch_size": 1}, "above 1"),
        ({"model": " "}, "model must be a text"),
        ({"rank": None}, "rank must be"),
        ({"learning_rate": None}, "learning_rate must be"),
        ({"packing": None}, "packing must be"),
        ({"mirror": 5}, "mirror must be"),
        ({"preset": ["persona"]}, "choose one of: tool-call, persona"),
        ({"mirror": "s3://key:secret@bucket"}, "holds a password"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        TrainConfig.from_dict({**LEAST, **values})
    assert "secret@" not in str(told.value)


@pytest.mark.parametrize(("text", "rate"), [("2e-4", 2e-4), ("1E-05", 1e-5), ("1.5e-3", 1.5e-3)])
def test_a_rate_in_a_file_may_be_written_as_people_write_it(
    text: str, rate: float, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"model: understudy\ndataset: 1e5b\nlearning_rate: {text}\n")
    config = read_config(file)
    assert (config.learning_rate, config.dataset) == (rate, "1e5b")


def test_a_missing_dataset_is_named() -> None:
    with pytest.raises(InputError, match="lack 'dataset'"):
        TrainConfig.from_dict({"model": "understudy"})


def test_every_field_says_what_it_is() -> None:
    source = Path(__file__).parents[2].joinpath("training/config.py").read_text()
    (found,) = [n for n in ast.walk(ast.parse(source)) if getattr(n, "name", "") == "TrainConfig"]
    assert isinstance(found, ast.ClassDef)
    body = found.body
    for at, node in enumerate(body):
        if isinstance(node, ast.AnnAssign):
            after = body[at + 1]
            assert isinstance(after, ast.Expr), ast.unparse(node)
            assert isinstance(after.value, ast.Constant)
    numbers = {n for n, v in config_fields().items() if isinstance(v, (int, float))}
    assert numbers - {"packing"} <= set(RANGES)


def config_fields() -> dict[str, Any]:
    return TrainConfig.from_dict(LEAST).to_dict()


def test_a_run_is_made_of_what_its_file_says(home: Path) -> None:
    catalog = load_catalog(settings_of(home))
    folder = create_run(home, "first", config_of(home), catalog)
    spec = read_run(folder)
    assert spec.config == config_of(home)
    assert spec.base_digest is not None
    assert spec.dataset_digest.startswith("sha256:")
    assert spec.threads >= 1
    assert set(spec.versions) >= {"torch", "trl", "peft"}
    rows = (home / "talk/rows.jsonl").read_bytes()
    assert (folder / "dataset/rows.jsonl").read_bytes() == rows
    with pytest.raises(InputError, match="already"):
        create_run(home, "first", config_of(home), catalog)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"model": "nobody"}, ModelNotAllowedError, "no model named"),
        ({"dataset": "nothing@v1"}, NotFoundError, "nothing"),
        ({"dataset": "/no/where.jsonl"}, NotFoundError, "no dataset in"),
    ],
)
def test_a_run_of_nothing_leaves_no_folder(
    home: Path, values: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        create_run(home, "nothing", config_of(home, **values), load_catalog(settings_of(home)))
    assert not (home / "runs" / "nothing").exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 101])
def test_a_name_that_cannot_be_a_folders_is_refused(home: Path, name: str) -> None:
    with pytest.raises(InputError, match="can't be a run's name"):
        create_run(home, name, config_of(home), load_catalog(settings_of(home)))


def test_a_damaged_run_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run in"):
        read_run(tmp_path)
    for text in ("", "[]", "config: 3", "config: {}\nrun: x", "{", "\x00"):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(InputError):
            read_run(tmp_path)
