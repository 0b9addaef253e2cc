"""What speaks against a run before it is started; the worker would find the same, but later."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.catalog import Catalog
from core.errors import AppError
from core.providers.local import folder_here
from training.audits import Audits
from training.config import TrainConfig
from training.datasets.splitting import read_split
from training.datasets.versions import Version, find_version, read_examples
from training.recipes.rows import KIND
from training.run_folder import base_entry, find_rows


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to know."""

    is_stop: bool
    """Whether the run could not be carried out."""
    text: str


def checks(config: TrainConfig, home: Path, catalog: Catalog, audits: Audits) -> tuple[Check, ...]:
    """Return what is wrong with a run, and what its owner may have forgotten."""
    try:
        folder = folder_here(base_entry(catalog, config.model))
        rows = find_rows(home, config.dataset).rows
        kind = next(iter(islice(read_examples(rows), 1))).kind
    except (AppError, StopIteration) as error:
        return (Check(True, str(error) or f"{config.dataset!r} has no rows"),)
    found = []
    if KIND[config.recipe] != kind:
        found.append(
            Check(
                True,
                f"recipe {config.recipe!r} learns from {KIND[config.recipe]!r} examples, and "
                f"{config.dataset} has {kind!r} ones",
            )
        )
    if folder is None:
        found.append(Check(False, f"{config.model} is not on this disk; the run downloads it"))
    if "/" not in config.dataset and not Path(config.dataset).suffix:
        found += _of_version(config, find_version(home, config.dataset), audits)
    return tuple(found)


def _of_version(config: TrainConfig, version: Version, audits: Audits) -> list[Check]:
    """Return what is to be said of a dataset that has versions."""
    found = []
    audit = audits.newest(version.digest)
    if audit is None or (audit.model, audit.max_length) != (config.model, config.max_length):
        found.append(
            Check(
                False,
                f"{version.reference} was not audited for {config.model} and "
                f"{config.max_length} tokens",
            )
        )
    else:
        found += [Check(True, reason) for reason in audit.stops]
    if read_split(version) is None:
        text = f"{version.reference} is not split, so there will be no evaluation loss"
        more = ", and patience has nothing to go by" if config.patience is not None else ""
        found.append(Check(False, text + more))
    return found
