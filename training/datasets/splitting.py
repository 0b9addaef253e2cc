"""Splitting a version: whole groups to one side, seeded, disjoint, written once.

`splits/train.ids` and `splits/eval.ids` hold an id a line; `splits/split.json` says how.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import InputError, NotFoundError, StorageError
from core.messages import JsonValue
from training.datasets.example import Example
from training.datasets.versions import Version, read_examples, sync_folder, write_synced

Part = Literal["train", "eval"]
FOLDER = "splits"


@dataclass(frozen=True, slots=True)
class Split:
    """How a version is split."""

    seed: int
    eval_share: float
    """Share of the rows that was asked for, above 0.0 and below 1.0."""
    train: int
    """Rows."""
    eval: int
    train_groups: int
    eval_groups: int
    digests: Mapping[str, str]
    """`sha256:...` of each list of ids."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the split as JSON."""
        return {
            "seed": self.seed,
            "eval_share": self.eval_share,
            "train": self.train,
            "eval": self.eval,
            "train_groups": self.train_groups,
            "eval_groups": self.eval_groups,
            "digests": dict(self.digests),
        }


def split(version: Version, eval_share: float, seed: int) -> Split:
    """Split a version by group; the same share and seed again change nothing.

    Raises:
        InputError: the share is out of range, there are less than two groups, or the version is
            split already in another way.
        StorageError: the version can't be read, or the lists can't be written.
    """
    if not 0.0 < eval_share < 1.0:
        raise InputError(f"eval_share must be above 0.0 and below 1.0, got {eval_share!r}")
    sizes = Counter(example.family for example in read_examples(version.path))
    chosen = eval_groups(sizes, eval_share, seed)
    ids: dict[Part, list[str]] = {"train": [], "eval": []}
    for example in read_examples(version.path):
        ids["eval" if example.family in chosen else "train"].append(example.id)
    texts = {f"{part}.ids": "".join(f"{name}\n" for name in names) for part, names in ids.items()}
    made = Split(
        seed=seed,
        eval_share=eval_share,
        train=len(ids["train"]),
        eval=len(ids["eval"]),
        train_groups=len(sizes) - len(chosen),
        eval_groups=len(chosen),
        digests={name: _digest(text) for name, text in texts.items()},
    )
    _freeze(version, texts, made)
    return made


def eval_groups(sizes: Mapping[str, int], eval_share: float, seed: int) -> frozenset[str]:
    """Return the groups whose rows are for evaluation: at most the share of rows, at least one.

    The order of the groups is that of a hash of seed and name, so a group that is added later
    moves few others.

    Raises:
        InputError: there are less than two groups.
    """
    if len(sizes) < 2:
        raise InputError(f"a split needs at least two groups, there are {len(sizes)}")
    order = sorted(sizes, key=lambda name: _digest(f"{seed}\n{name}"))
    room = eval_share * sum(sizes.values())
    chosen, rows = set[str](), 0
    for name in order:
        if rows + sizes[name] <= room:
            chosen.add(name)
            rows += sizes[name]
    return frozenset(chosen or {min(order, key=lambda name: sizes[name])})


def read_ids(version: Version, part: Part) -> frozenset[str]:
    """Return the ids of one side of the split.

    Raises:
        NotFoundError: the version is not split.
        StorageError: the list can't be read, or has changed since it was written.
    """
    try:
        text = (version.folder / FOLDER / f"{part}.ids").read_text(encoding="utf-8")
        digests = json.loads((version.folder / FOLDER / "split.json").read_text())["digests"]
    except FileNotFoundError as error:
        raise NotFoundError(f"{version.reference} is not split; run data split") from error
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"the split of {version.reference} can't be read: {error}") from error
    if digests.get(f"{part}.ids") != _digest(text):
        raise StorageError(f"{part}.ids of {version.reference} has changed since it was written")
    return frozenset(text.splitlines())


def read_split(version: Version) -> Split | None:
    """Return how a version is split; None: it is not.

    Raises:
        StorageError: what stands there can't be read.
    """
    try:
        told = json.loads((version.folder / FOLDER / "split.json").read_text(encoding="utf-8"))
        return Split(**told)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"the split of {version.reference} can't be read: {error}") from error


def part_of(version: Version, part: Part) -> Iterator[Example]:
    """Yield the examples of one side of the split, in the order of the rows.

    Raises:
        NotFoundError: the version is not split.
        StorageError: the version can't be read.
    """
    ids = read_ids(version, part)
    return (example for example in read_examples(version.path) if example.id in ids)


def _freeze(version: Version, texts: Mapping[str, str], made: Split) -> None:
    """Put the lists in place, all at once."""
    place = version.folder / FOLDER
    said = json.dumps(made.to_dict(), indent=1) + "\n"
    try:
        if place.exists():
            if (place / "split.json").read_text(encoding="utf-8") == said:
                return
            raise InputError(
                f"{version.reference} is split already, in another way, and a split is never "
                "changed; use it, or make another version"
            )
        scratch = Path(tempfile.mkdtemp(prefix=".split-", dir=version.folder))
        scratch.chmod(0o755)
        try:
            for name, text in (*texts.items(), ("split.json", said)):
                write_synced(scratch / name, text)
            os.rename(scratch, place)
            sync_folder(version.folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"the split of {version.reference} can't be written: {error.strerror}"
        ) from error


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
