"""The settings of the next run, as they were left: `$UNDERSTUDY_HOME/drafts/run.yaml`."""

from pathlib import Path

import yaml

from core.errors import AppError, StorageError
from core.messages import new_id
from training.config import TrainConfig
from training.job_command import read_config

PLACE = Path("drafts", "run.yaml")


def save_draft(home: Path, config: TrainConfig) -> Path:
    """Keep settings that are complete; return where.

    Raises:
        StorageError: the disk refuses.
    """
    path = home / PLACE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}-{new_id()[:8]}")
        draft.write_text(run_yaml(config), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be written: {error.strerror}") from error
    return path


def read_draft(home: Path) -> TrainConfig | None:
    """Return the settings as they were left; None: there are none that can be used."""
    try:
        return read_config(home / PLACE)
    except AppError:
        return None


def config_of(text: str) -> TrainConfig:
    """Return the settings that `run_yaml` wrote."""
    return TrainConfig.from_dict(yaml.safe_load(text))


def run_yaml(config: TrainConfig) -> str:
    """Return settings as `python -m training run` reads them."""
    text: str = yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)
    return text
