"""The members of an ensemble answer in parallel, each with a deadline, and vote."""

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from core.catalog import EnsembleEntry, Target
from core.errors import AppError, GenerationError
from core.gateway.answer import Answer
from core.gateway.attempt import ModelAttempt
from core.gateway.ensemble import Ballot, Verdict, vote
from core.gateway.plan import failure_of
from core.gateway.traffic import Traffic
from core.messages import GenerationRequest
from core.observe.ledger import SpanHandle
from core.reports import Attempt, VoteReport

CANCEL_S = 0.05
"""How often a wait looks whether the caller has cancelled."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one member did."""

    attempt: Attempt
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Elected:
    """The vote and, unless it abstained, the answer that won."""

    answer: Answer | None
    report: VoteReport
    sent: int
    cost_usd: float | None
    """Of all members that answered; None when one of them is unknown."""


def elect(
    traffic: Traffic,
    request: GenerationRequest,
    entry: EnsembleEntry,
    targets: tuple[Target, ...],
    span: SpanHandle,
) -> Elected:
    """Ask every member at once and return what their vote decided.

    Raises:
        GenerationError: no member answered.
    """
    cancel = threading.Event()
    asked = replace(request, cancel=cancel)
    with ThreadPoolExecutor(len(targets), "ensemble") as pool:
        futures = [pool.submit(_ask, traffic, asked, each, entry, span) for each in targets]
        _wait(futures, request.cancel, entry.deadline_s)
        cancel.set()
    outcomes = [future.result() for future in futures]
    answers = [outcome.answer for outcome in outcomes if outcome.answer]
    if not answers:
        said = "; ".join(outcome.attempt.reason for outcome in outcomes)
        raise GenerationError(f"no member of the ensemble answered: {said}")
    verdict = vote(
        [_ballot(outcome) for outcome in outcomes],
        how=entry.vote,
        answer=entry.answer,
        threshold=entry.threshold,
        weights=entry.weights,
    )
    costs = [answer.cost_usd for answer in answers]
    return Elected(
        answer=_winner(verdict, outcomes),
        report=_report(verdict, outcomes),
        sent=sum(answer.sent for answer in answers),
        cost_usd=None if None in costs else sum(filter(None, costs)),
    )


def _wait(futures: "list[Future[Outcome]]", cancel: threading.Event, deadline_s: float) -> None:
    """Wait for all members, until the caller cancels or the deadline passes."""
    end = time.monotonic() + deadline_s
    while not cancel.is_set() and time.monotonic() < end:
        if not wait(futures, timeout=CANCEL_S).not_done:
            return


def _ask(
    traffic: Traffic,
    request: GenerationRequest,
    target: Target,
    entry: EnsembleEntry,
    span: SpanHandle,
) -> Outcome:
    attempt = ModelAttempt(traffic, request, target, patience_s=entry.deadline_s)
    began, answer, reason, outcome = time.monotonic(), None, "", "ok"
    try:
        with span.span(target.id, "member") as step:
            answer = _whole(attempt)
            step.set(output=answer.content, cache=answer.cache)
    except AppError as error:
        outcome, reason = (failure_of(error) if attempt.sent else "skipped"), str(error)
    if answer is not None and answer.completion.finish_reason == "cancelled":
        answer, outcome = None, "timeout"
        reason = f"{target.id!r} did not finish within {entry.deadline_s:g} s"
    total_s = round(time.monotonic() - began, 4)
    return Outcome(Attempt(target.id, outcome, reason, attempt.waited_s, total_s), answer)


def _whole(attempt: ModelAttempt) -> Answer:
    """Run the attempt to its end and return its answer; nobody watches it stream."""
    run = attempt.run()
    while True:
        try:
            next(run)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def _ballot(outcome: Outcome) -> Ballot:
    """Return the member's answer as it is voted on: its text, or its tool calls as JSON."""
    answer = outcome.answer
    text = answer.content if answer else None
    if answer and answer.calls and not answer.content.strip():
        calls = [{"name": c.name, "arguments": _parsed(c.arguments)} for c in answer.calls]
        text = json.dumps(calls, sort_keys=True, ensure_ascii=False)
    return Ballot(outcome.attempt.model, text, outcome.attempt.reason or None)


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _winner(verdict: Verdict, outcomes: list[Outcome]) -> Answer | None:
    if verdict.winner is None:
        return None
    found: Mapping[str, Answer] = {o.attempt.model: o.answer for o in outcomes if o.answer}
    return found[verdict.winner.member]


def _report(verdict: Verdict, outcomes: list[Outcome]) -> VoteReport:
    return VoteReport(
        agreement=verdict.agreement,
        valid=verdict.valid,
        members=tuple(outcome.attempt for outcome in outcomes),
        votes=dict(verdict.votes),
        abstained=verdict.abstained,
        reason=verdict.reason,
    )
