"""Format `preference`: `{prompt, chosen, rejected}`, or `{prompt, completion, label}` unpaired.

Texts, or lists of messages. Without a prompt, `chosen` and `rejected` are whole conversations, and
the prompt is what they have in common, as TRL reads them.
"""

from collections.abc import Sequence

from core.errors import InputError
from core.messages import JsonObject
from core.rows.records import Record
from training.datasets.formats.chats import common, label_of
from training.datasets.formats.pairs import answered, asked


def from_preference(record: Record) -> JsonObject:
    """Return the row of a preference.

    Raises:
        InputError: a part is missing or empty.
    """
    given, row = record.value, common(record)
    if given.get("label") not in (None, ""):
        row["messages"] = [*asked(given), *answered(given.get("completion"), "completion")]
        row["label"] = label_of(given["label"])
        return row
    chosen = answered(given.get("chosen"), "chosen")
    rejected = answered(given.get("rejected"), "rejected")
    if given.get("prompt"):
        return {**row, "messages": asked(given), "chosen": chosen, "rejected": rejected}
    same = _common(chosen, rejected)
    if not same:
        raise InputError("prompt is missing, and chosen and rejected have no first turn in common")
    return {
        **row,
        "messages": chosen[:same],
        "chosen": chosen[same:],
        "rejected": rejected[same:],
    }


def _common(one: Sequence[JsonObject], other: Sequence[JsonObject]) -> int:
    """Return how many turns from the first on are the same, the last of each left out."""
    same = 0
    while same < min(len(one), len(other)) - 1 and one[same] == other[same]:
        same += 1
    return same
