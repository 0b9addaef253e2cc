"""Rows that were refused: counted by reason, the first of them kept to be shown."""

from collections import Counter
from dataclasses import dataclass

from core.messages import JsonValue

EXAMPLES = 10
"""Refused rows that a report tells of one by one."""
REASON_CHARACTERS = 120
"""Of a reason, when rows are counted by reason."""
MAX_REASONS = 1000
"""Different reasons that are counted; the rest is counted together."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row that was refused."""

    place: str
    reason: str

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the refusal as JSON."""
        return {"place": self.place, "reason": self.reason}


class Refusals:
    """Counts refusals in bounded memory."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.examples: list[Refusal] = []

    def add(self, refusal: Refusal) -> None:
        """Count one."""
        reason = refusal.reason[:REASON_CHARACTERS]
        is_known = reason in self.reasons or len(self.reasons) < MAX_REASONS
        self.reasons[reason if is_known else "other reasons"] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(refusal)

    @property
    def total(self) -> int:
        """How many there were."""
        return self.reasons.total()

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the counts and the first refused rows as JSON."""
        return {
            "refused": self.total,
            "reasons": dict(self.reasons.most_common()),
            "examples": [example.to_dict() for example in self.examples],
        }

    def first(self) -> str:
        """Return the first one as the end of a sentence about a file that gave no row."""
        if not self.examples:
            return "; it has none"
        return f"; {self.examples[0].place}: {self.examples[0].reason}"
