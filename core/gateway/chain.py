"""One request's way along its models: the first that answers, and why the others did not."""

import random
import time
from collections.abc import Generator
from dataclasses import dataclass, field

from core.catalog import Target
from core.errors import AppError, GenerationError, InputError, RateLimitError, UnavailableError
from core.gateway.answer import Answer
from core.gateway.attempt import ModelAttempt
from core.gateway.plan import MAX_TRIES, Step, failure_of, next_step, pause_s
from core.gateway.traffic import Traffic
from core.messages import Delta, GenerationRequest
from core.observe.ledger import SpanHandle
from core.reports import Attempt


@dataclass(slots=True)
class ChainRun:
    """The models of one request, tried in order."""

    traffic: Traffic
    request: GenerationRequest
    targets: tuple[Target, ...]
    patience_s: float
    tried: list[Attempt] = field(default_factory=list)
    sent: int = 0
    rng: random.Random = field(default_factory=random.Random)
    """Of the pauses between two tries."""
    _errors: list[AppError] = field(default_factory=list)

    def run(self, span: SpanHandle) -> Generator[Delta, None, Answer]:
        """Yield the answer as it comes; return the one of the first model that gives it.

        Text that a failing model had streamed is withdrawn with a `restart`, never continued by
        another model.

        Raises:
            AppError: the only model's error; of several, one that names each.
        """
        for place, target in enumerate(self.targets):
            has_next = place + 1 < len(self.targets)
            answer = yield from self._model(target, span, has_next=has_next)
            if answer is not None:
                return answer
        raise self._failure()

    def _model(
        self, target: Target, span: SpanHandle, *, has_next: bool
    ) -> Generator[Delta, None, Answer | None]:
        """Try one model, twice if that may help; return None when the next one is to be tried."""
        for tries in range(1, MAX_TRIES + 1):
            attempt = ModelAttempt(self.traffic, self.request, target, self.patience_s)
            try:
                with span.span(target.id, "attempt") as step:
                    answer = yield from self._timed(attempt)
                    step.set(
                        output=answer.completion.text,  # As the model wrote it.
                        cache=answer.cache,
                        waited_s=attempt.waited_s,
                    )
                    return answer
            except AppError as error:
                action = self._action(error, attempt, tries, has_next=has_next)
                if attempt.has_text and action != "fail":
                    yield Delta(restart=str(error))
            if action == "next":
                return None
            if action == "fail" or self.request.cancel.wait(pause_s(tries, self.rng)):
                break
        raise self._failure()

    def _action(
        self, error: AppError, attempt: ModelAttempt, tries: int, *, has_next: bool
    ) -> Step:
        """Say what follows a failure; a model that was passed over is not tried again."""
        if not attempt.sent:
            return "next" if has_next else "fail"
        return next_step(failure_of(error), tries, self.sent, has_next=has_next)

    def _timed(self, attempt: ModelAttempt) -> Generator[Delta, None, Answer]:
        """Run an attempt and note how it went."""
        began = time.monotonic()
        try:
            answer = yield from attempt.run()
        except AppError as error:
            self._note(attempt, time.monotonic() - began, error)
            raise
        self._note(attempt, time.monotonic() - began, None)
        return answer

    def _note(self, attempt: ModelAttempt, total_s: float, error: AppError | None) -> None:
        self.sent += attempt.sent
        outcome = "ok"
        if error is not None:
            self._errors.append(error)
            outcome = failure_of(error) if attempt.sent else "skipped"
        self.tried.append(
            Attempt(
                model=attempt.target.id,
                outcome=outcome,
                reason="" if error is None else str(error),
                waited_s=round(attempt.waited_s, 4),
                total_s=round(total_s, 4),
            )
        )

    def _failure(self) -> AppError:
        """Return the error of the whole chain: what to do, and when it is worth coming back."""
        if len({attempt.model for attempt in self.tried}) == 1:
            return self._errors[-1]
        said = "; ".join(str(error) for error in self._errors)
        text = f"no model of the chain answered: {said}"
        waits = [e.retry_after_s for e in self._errors if isinstance(e, RateLimitError)]
        if len(waits) == len(self._errors):
            return RateLimitError(text, min((w for w in waits if w is not None), default=None))
        if all(isinstance(error, InputError) for error in self._errors):
            return InputError(text)
        is_failed = any(isinstance(error, GenerationError) for error in self._errors)
        return (GenerationError if is_failed else UnavailableError)(text)


def route_of(name: str, tried: list[Attempt], answer: Answer) -> str | None:
    """Return how the answering model was chosen, in words; None when the caller named it."""
    if name == answer.target.id:
        return None
    passed = [f"{each.model}: {each.outcome}" for each in tried if each.outcome != "ok"]
    why = f" after {', '.join(passed)}" if passed else ""
    return f"chain {name} -> {answer.target.id}{why}"
