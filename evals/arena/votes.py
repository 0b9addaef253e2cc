"""What a vote may say, and which votes are kept but not counted.

Not counted, with the first reason that applies:

- `names_itself`: an answer says which model wrote it, so the battle was not blind;
- `identical`: both answers are the same text, so there was nothing to choose between;
- `repeated`: the visitor has a counted vote on this prompt and these two models, and one person's
  taste must not count twice; spacing and case make no other prompt, nor do exchanged sides;
- `too_many`: the visitor's 31st and further vote within ten minutes. Reading two answers takes a
  person more than the twenty seconds that each of thirty would have got.

A visitor is known by a pseudonym of one or two months: who drops their cookies is somebody else.
"""

from collections.abc import Mapping, Sequence

from core.errors import InputError
from core.outcomes import OUTCOMES
from core.store.battle_records import Ballot, Exclusion, History, StoredBattle

REASONS: tuple[tuple[str, str], ...] = (
    ("correct", "more correct"),
    ("complete", "more complete"),
    ("clear", "clearer"),
    ("follows", "follows the instructions"),
    ("style", "better style"),
    ("length", "better length"),
)
"""Key and words of each reason that a vote may carry."""
EXCLUDED: Mapping[Exclusion, str] = {
    "names_itself": "an answer names its model or its maker",
    "identical": "both answers are the same",
    "repeated": "a second vote on the same prompt and the same two models",
    "too_many": "more votes in ten minutes than a person can read answers for",
}
"""Words for why a vote doesn't count."""
MOST_RECENT = 30
"""Votes of one visitor that count within ten minutes."""


def read_ballot(outcome: object, reasons: object) -> Ballot:
    """Return what a page sent as a vote; a reason that comes twice counts once.

    Raises:
        InputError: no such outcome, or no such reason.
    """
    known = next((each for each in OUTCOMES if each == outcome), None)
    if known is None:
        raise InputError(f"no outcome {_short(outcome)}; choose one of: {', '.join(OUTCOMES)}")
    keys = [key for key, _ in REASONS]
    if isinstance(reasons, str) or not isinstance(reasons, Sequence):
        raise InputError(f"reasons must be a list, got {_short(reasons)}")
    for reason in reasons[: len(keys) + 1]:
        if reason not in keys:
            raise InputError(f"no reason {_short(reason)}; choose from: {', '.join(keys)}")
    if len(reasons) > len(keys):
        raise InputError(f"at most {len(keys)} reasons go with a vote, got {len(reasons)}")
    return Ballot(known, tuple(key for key in keys if key in reasons))


def exclusion(battle: StoredBattle, history: History) -> Exclusion | None:
    """Say why a vote on this battle doesn't count; None: it does."""
    if battle.a.names_itself or battle.b.names_itself:
        return "names_itself"
    if battle.a.answer.split() == battle.b.answer.split():
        return "identical"
    if history.repeats:
        return "repeated"
    return "too_many" if history.recent >= MOST_RECENT else None


def _short(value: object) -> str:
    text = value if isinstance(value, str) else str(type(value).__name__)
    return repr(text[:40])
