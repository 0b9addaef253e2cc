"""What changed from one dataset version to another, row by row."""

from dataclasses import dataclass

from core.messages import JsonValue
from training.datasets.example import Example
from training.datasets.versions import Version, read_examples

SHOWN = 50
"""Rewritten rows that are shown before and after."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Rows by what became of them."""

    kept: int
    dropped: tuple[str, ...]
    """Ids of rows that the later version lacks."""
    added: tuple[str, ...]
    changed: int
    rewritten: tuple[tuple[Example, Example], ...]
    """The first changed rows, before and after."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the difference as JSON."""
        return {
            "kept": self.kept,
            "dropped": list(self.dropped),
            "added": list(self.added),
            "changed": self.changed,
            "rewritten": [
                {"before": before.to_dict(), "after": after.to_dict()}
                for before, after in self.rewritten
            ],
        }


def diff(before: Version, after: Version) -> Diff:
    """Compare two versions by the ids of their rows; the earlier one is held in memory by hash.

    Raises:
        StorageError: a version can't be read.
    """
    old = {example.id: hash(example.to_line()) for example in read_examples(before.path)}
    kept, added, changed = 0, [], dict[str, Example]()
    count = 0
    for example in read_examples(after.path):
        known = old.pop(example.id, None)
        if known is None:
            added.append(example.id)
        elif known == hash(example.to_line()):
            kept += 1
        else:
            count += 1
            if len(changed) < SHOWN:
                changed[example.id] = example
    was = {e.id: e for e in read_examples(before.path) if e.id in changed}
    return Diff(
        kept=kept,
        dropped=tuple(old),
        added=tuple(added),
        changed=count,
        rewritten=tuple((was[name], after) for name, after in changed.items()),
    )
