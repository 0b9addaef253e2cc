"""The vote of an ensemble: what its members agree on, and by how much.

Agreement is measured, never assumed: the winner's weight over the weight of all members that were
asked, those included that failed or whose answer could not be read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import InputError
from core.gateway.answer_keys import AnswerKind, key_of

VoteRule = Literal["first_valid", "majority", "weighted"]
MAX_ACCURACY = 0.95
"""Accuracies above count as this: a few hundred samples can't tell more, and 1.0 would weigh
infinitely."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one member answered."""

    member: str
    text: str | None
    """None when it gave no answer."""
    failure: str | None
    """Why its answer does not count; None when it may."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the vote decided."""

    winner: Ballot | None
    """None when it abstained."""
    agreement: float
    """Weight of the members behind the leading answer over that of all asked, 0.0 to 1.0."""
    votes: Mapping[str, float]
    """Answer as it was compared to its share of all weight, largest first; what is missing to 1.0
    belongs to members without a valid answer."""
    valid: int
    """Members whose answer could be read."""
    abstained: bool
    reason: str
    """In words for the user: why this answer, or why none."""


def vote(
    ballots: Sequence[Ballot],
    *,
    how: VoteRule,
    answer: AnswerKind,
    threshold: float,
    weights: Mapping[str, float],
) -> Verdict:
    """Decide between the members' answers, compared as `answer_keys.key_of` reads them.

    `first_valid` takes the first readable answer in the members' order, whatever the others say;
    its agreement is measured too. `majority` and `weighted` abstain when two answers lead
    together, or when the agreement is not above the threshold (0.0 to below 1.0).
    `weights` are accuracies by member for `weighted`, 0.0 to 1.0; see `member_weights`. Of the
    members behind the winning answer, the heaviest one's text is given, the first of equals.

    Raises:
        InputError: nobody or somebody twice was asked, fewer than two for `majority` or
            `weighted`, or a threshold or an accuracy is out of range.
    """
    names = [ballot.member for ballot in ballots]
    _check(names, how, threshold)
    shares = _shares(names, weights if how == "weighted" else {})
    keys = [_key(ballot, answer) for ballot in ballots]
    votes = _counted(keys, shares)
    valid = sum(key is not None for key in keys)
    if how == "first_valid":
        place = next((i for i, key in enumerate(keys) if key is not None), None)
        leading = None if place is None else keys[place]
        refusal = "" if valid else _unread(ballots, answer)
    else:
        leading = next(iter(votes), None)
        refusal = _refusal(votes, threshold) if valid else _unread(ballots, answer)
        behind = [i for i, key in enumerate(keys) if key is not None and key == leading]
        place = max(behind, key=lambda i: shares[i], default=None)
    agreement = votes.get(leading, 0.0) if leading is not None else 0.0
    winner = None if refusal or place is None else ballots[place]
    reason = refusal or f"{how}: {keys.count(leading)} of {len(ballots)} members agree"
    return Verdict(winner, agreement, votes, valid, winner is None, reason)


def member_weights(names: Sequence[str], accuracies: Mapping[str, float]) -> tuple[float, ...]:
    """Return each member's weight, the log odds of being right: ln(p / (1 - p)).

    The optimal weights for independent voters between two answers. Accuracies above 0.95 count as
    0.95. From 0.5 down a weight is 0.0, not negative: with more than two answers, being mostly
    wrong speaks for no other one. A member of unknown accuracy has the mean of the known weights;
    when none is known, all weigh 1.0.

    Raises:
        InputError: an accuracy is not between 0.0 and 1.0.

    Source: Nitzan and Paroush (1982), Optimal decision rules in uncertain dichotomous choice
    situations, International Economic Review 23(2).
    """
    known = {name: _log_odds(name, accuracies[name]) for name in names if name in accuracies}
    other = math.fsum(known.values()) / len(known) if known else 1.0
    return tuple(known.get(name, other) for name in names)


def _log_odds(name: str, accuracy: float) -> float:
    if not 0.0 <= accuracy <= 1.0:
        raise InputError(f"the accuracy of {name!r} must be between 0.0 and 1.0, got {accuracy!r}")
    bounded = min(max(accuracy, 0.5), MAX_ACCURACY)
    return math.log(bounded / (1.0 - bounded))


def _check(names: Sequence[str], how: VoteRule, threshold: float) -> None:
    least = 1 if how == "first_valid" else 2
    if len(names) < least:
        raise InputError(f"a {how} vote needs at least {least} members, got {len(names)}")
    if len(set(names)) < len(names):
        raise InputError(f"a member votes twice: {', '.join(names)}")
    if not 0.0 <= threshold < 1.0:
        raise InputError(f"threshold must be at least 0.0 and below 1.0, got {threshold!r}")


def _shares(names: Sequence[str], accuracies: Mapping[str, float]) -> tuple[float, ...]:
    """Return each member's part of all weight; all 0.0 when nobody weighs anything."""
    weights = member_weights(names, accuracies)
    total = math.fsum(weights)
    return tuple(weight / total if total else 0.0 for weight in weights)


def _key(ballot: Ballot, answer: AnswerKind) -> str | None:
    if ballot.failure is not None or ballot.text is None:
        return None
    return key_of(ballot.text, answer)


def _counted(keys: Sequence[str | None], shares: Sequence[float]) -> dict[str, float]:
    given: dict[str, list[float]] = {}
    for key, share in zip(keys, shares, strict=True):
        if key is not None:
            given.setdefault(key, []).append(share)
    sums = {key: math.fsum(parts) for key, parts in given.items()}
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _refusal(votes: Mapping[str, float], threshold: float) -> str:
    """Return why no answer wins; empty when one does."""
    first, *others = votes.values()
    if first == 0.0:
        return "abstained: no member with an answer is known to be better than chance"
    tied = 1 + sum(math.isclose(first, share, rel_tol=1e-9) for share in others)
    if tied > 1:
        return f"abstained: {tied} answers lead together with {first:.0%} of the weight each"
    if first <= threshold or math.isclose(first, threshold, rel_tol=1e-9):
        return f"abstained: the agreement of {first:.0%} is not above {threshold:.0%}"
    return ""


def _unread(ballots: Sequence[Ballot], answer: AnswerKind) -> str:
    return f"abstained: none of {len(ballots)} members gave a valid answer ({answer})"
