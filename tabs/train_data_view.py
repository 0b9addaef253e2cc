"""What the step Data shows of datasets, audits and errands."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from core.errors import StorageError
from core.providers.local import folder_here
from tabs.train_markup import bars_of, defects_of, elapsed, examples_of, turns_of
from tabs.train_parts import TrainParts
from training.audits import KeptAudit
from training.datasets.example import Example
from training.datasets.splitting import read_split
from training.datasets.versions import (
    Version,
    dataset_names,
    list_versions,
    read_examples,
    refused_rows,
)
from training.errand_folder import Errand

FIRST_ROWS = 3
EMBEDDED = "understudy"
"""Small enough to be trained anywhere."""
KINDS: Mapping[str, str] = {
    "sft": "answers to imitate",
    "preference": "pairs of answers",
    "unpaired": "answers with a thumb",
}


def about_page(parts: TrainParts, version: Version | None) -> str:
    """Return where a version comes from, what was refused, and its first rows."""
    if version is None:
        return parts.render("train_dataset.html", version=None)
    first = list(islice(read_examples(version.path), FIRST_ROWS))
    parents = [v for v in list_versions(parts.home, version.name) if v.digest == version.parent]
    return parts.render(
        "train_dataset.html",
        version=version,
        kind=KINDS[first[0].kind] if first else "unknown",
        origin=_origin(version),
        parent=parents[0].reference if parents else None,
        refused=refused_rows(version),
        split=read_split(version),
        first=[row_of(example) for example in first],
    )


def audit_page(parts: TrainParts, version: Version, audit: KeptAudit | None) -> str:
    """Return what an audit found."""
    if audit is None:
        return parts.render("train_audit.html", audit=None, version=version)
    stamp = audit.folder.name
    when = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[9:11]}:{stamp[11:13]} UTC"
    return parts.render(
        "train_audit.html",
        audit=audit,
        version=version,
        when=when,
        defects=defects_of(audit),
        bars=bars_of(audit),
        examples=examples_of(audit),
    )


def work_page(parts: TrainParts, errand: Errand | None, what: str) -> str:
    """Return how far an errand is, or why nothing came of it."""
    took = elapsed(errand) if errand else ""
    return parts.render("train_errand.html", errand=errand, what=what, elapsed=took)


def row_of(example: Example) -> dict[str, object]:
    """Return a row as pages show it."""
    return {"id": example.id, "turns": turns_of(example)}


def _origin(version: Version) -> str:
    how: Mapping[str, Any] = version.how
    command = str(how.get("command"))
    if command == "import":
        return f"{how.get('file')} ({how.get('format')})"
    if command == "from-logs":
        return str(how.get("source"))
    if command == "curate":
        return f"curating: {how.get('dropped')} dropped, {how.get('rewritten')} rewritten"
    return command


def all_versions(parts: TrainParts) -> list[Version]:
    """Return all versions, the newest first; damaged datasets are left out."""
    found: list[Version] = []
    for name in dataset_names(parts.home):
        with suppress(StorageError):
            found += list_versions(parts.home, name)
    return sorted(found, key=lambda v: (v.created_at, int(v.version[1:])), reverse=True)


def bases(parts: TrainParts) -> list[tuple[str, str]]:
    """Return label and id of each model that can be trained here."""
    models = parts.catalog.models.items()
    local = [(name, entry) for name, entry in models if entry.provider == "local"]
    return [
        (name if folder_here(entry) else f"{name} (not on this disk)", name)
        for name, entry in local
    ]


def first_base(parts: TrainParts) -> str | None:
    """Return the model to begin with: the smallest that is shipped, else one of this disk."""
    here = [name for label, name in bases(parts) if label == name]
    return EMBEDDED if EMBEDDED in here else next(iter(here), None)
