"""What an answer tells of its way through the gateway: attempts, guard, votes, savings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model that was tried, or passed over."""

    model: str
    """Catalog id."""
    outcome: str
    """`ok`, `skipped` (nothing was sent), or the kind of failure."""
    reason: str = ""
    """Why it was passed over or failed, for people; empty when it answered."""
    waited_s: float = 0.0
    """Waiting for the model's budget or between attempts, in seconds."""
    total_s: float = 0.0
    """From sending to the end of the attempt, in seconds."""


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What was changed in the model's text."""

    cuts: tuple[str, ...] = ()
    """Meta-language that was cut."""
    repairs: tuple[str, ...] = ()
    """Repairs that made the text the JSON it was meant to be."""
    asked_again: bool = False
    """Whether the model was asked a second time, with the errors of its first answer."""
    repaired_calls: tuple[str, ...] = ()
    """Tool calls in the wrong dress, each as JSON with name and arguments; the answer's own calls
    are only what the model wrote rightly."""


@dataclass(frozen=True, slots=True)
class VoteReport:
    """How the members of an ensemble voted."""

    agreement: float
    """Share of the winner among all members asked, by weight, 0.0 to 1.0."""
    valid: int
    """Members whose answer could be read as asked."""
    members: tuple[Attempt, ...]
    votes: Mapping[str, float] = field(hash=False, default_factory=dict)
    """Normalised answer to its share of the weight."""
    abstained: bool = False
    """Whether no answer won, so that none is given."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a cache hit saved."""

    tokens: int | None
    """Input and output tokens together; None when the first answer's provider did not tell."""
    cost_usd: float | None
    """None when the first answer's cost is unknown."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Everything of this module that one answer carries."""

    tried: tuple[Attempt, ...] = ()
    guard: GuardReport | None = None
    ensemble: VoteReport | None = None
    saved: Saved | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the reports as JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Reports":
        """Read what `to_dict` wrote.

        Raises:
            KeyError, TypeError: a key is missing or unknown.
        """
        guard, votes, saved = value["guard"], value["ensemble"], value["saved"]
        return Reports(
            tried=tuple(Attempt(**each) for each in value["tried"]),
            guard=guard
            and GuardReport(
                cuts=tuple(guard["cuts"]),
                repairs=tuple(guard["repairs"]),
                asked_again=bool(guard["asked_again"]),
                repaired_calls=tuple(guard["repaired_calls"]),
            ),
            ensemble=votes
            and VoteReport(
                **{**votes, "members": tuple(Attempt(**each) for each in votes["members"])}
            ),
            saved=saved and Saved(**saved),
        )
