"""`python -m training.errand FOLDER`: carry out an audit, an estimate or an export."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from core.errors import AppError
from core.messages import JsonObject, JsonValue
from core.settings import Settings
from training.config import TrainConfig
from training.data_command import data_audit
from training.datasets.leakage import read_items
from training.errand_folder import Kind, finish, read_order, tell
from training.estimate import Tell, estimate
from training.exports import make_export
from training.job_lock import held

Work = Callable[[JsonObject, Settings, Tell], dict[str, JsonValue]]


def main(arguments: list[str]) -> int:
    """Carry out the errand in the folder that is named; return the exit code."""
    folder = Path(arguments[0])
    settings = Settings.from_env(os.environ)
    try:
        order = read_order(folder)
        with held(folder):
            result = WORK[order.kind](order.arguments, settings, lambda text: tell(folder, text))
            finish(folder, "done", result)
    except AppError as error:
        finish(folder, "failed", error=str(error))
    return 0


def _audit(given: JsonObject, settings: Settings, tell: Tell) -> dict[str, JsonValue]:
    """Audit `dataset` for `model` in a window of `max_length`, against the files of `against`."""
    tell("reading the rows")
    paths = given["against"]
    items = _items([str(path) for path in paths] if isinstance(paths, list) else [])
    return data_audit(
        settings, str(given["dataset"]), str(given["model"]), int(str(given["max_length"])), items
    )


def _items(paths: list[str]) -> Iterator[JsonObject]:
    for path in paths:
        yield from read_items(Path(path))


def _estimate(given: JsonObject, settings: Settings, tell: Tell) -> dict[str, JsonValue]:
    """Estimate a run with `config`."""
    config = given["config"]
    assert isinstance(config, Mapping)
    return estimate(TrainConfig.from_dict(config), settings, tell=tell).to_dict()


def _export(given: JsonObject, settings: Settings, tell: Tell) -> dict[str, JsonValue]:
    """Make an export, and push it if that is asked for."""
    tell("writing the files")
    return make_export(given, settings)


WORK: Mapping[Kind, Work] = {"audit": _audit, "estimate": _estimate, "export": _export}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
