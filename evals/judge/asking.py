"""Asking a judge through the gateway: several calls at once, each written down as it comes."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat

from core.errors import AppError, InputError, UnavailableError
from core.gateway.gateway import Gateway
from core.gateway.guard.json_output import read_answer
from core.json_text import canonical
from core.messages import Generation, GenerationParams, GenerationRequest, JsonValue
from evals.generate import whole_answer
from evals.health import Health
from evals.identity import identify
from evals.judge.prompts import Prompt, choosing, marking
from evals.judge.rubric import Rubric
from evals.judge.verdicts import Status, Verdict, VerdictFile
from evals.progress import REMOTE_REQUESTS

CALLER = "evals"
TEMPERATURE = 0.3
"""Above zero, so that two calls are two opinions; each has its own seed."""
MAX_TOKENS = 300
MAX_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Ask:
    """One call to be made: marks for one answer, or the better of two."""

    id: str
    call: int
    order: tuple[str, ...]
    """Dimensions to mark in this order; for two answers their models, `model_a` and `model_b`."""
    conversation: str
    answers: tuple[str, ...]
    """As shown: one or two."""
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Judge:
    """A model with a rubric."""

    gateway: Gateway
    model: str
    rubric: Rubric
    served: str
    """`sha256:...` over the weights or servers behind it, all its members'."""
    health: Health = field(compare=False)
    """Whether it is worth asking on."""
    on_verdict: Callable[[Verdict], None] | None = field(default=None, compare=False)
    """Told of each call that was made now; called on several threads."""

    def ask(self, asks: Sequence[Ask], verdicts: VerdictFile) -> list[Verdict]:
        """Return a verdict for each call, from the file or by asking now.

        A call that brings none has another status than `ok`. Once the server is given up the rest
        is not sent.

        Raises:
            StorageError: a verdict can't be written.
        """
        line = _Line(self.health)
        with ThreadPoolExecutor(REMOTE_REQUESTS, "judge") as pool:
            try:
                return list(pool.map(self._verdict, asks, repeat(verdicts), repeat(line)))
            finally:
                line.closed.set()
                line.cancel.set()

    def _verdict(self, ask: Ask, verdicts: VerdictFile, line: "_Line") -> Verdict:
        key = self._key(ask)
        known = verdicts.get(key)
        if known is not None:
            return known
        if line.closed.is_set():
            return _missing(key, ask, "error", "not sent: the judge was given up before")
        verdict = self._sent(key, ask, line)
        verdicts.append(verdict)
        if self.on_verdict is not None:
            self.on_verdict(verdict)
        return verdict

    def _sent(self, key: str, ask: Ask, line: "_Line") -> Verdict:
        prompt = self._prompt(ask)
        request = GenerationRequest(
            model=self.model,
            messages=prompt.messages,
            params=GenerationParams(
                temperature=TEMPERATURE, max_tokens=MAX_TOKENS, seed=ask.call + 1
            ),
            caller=CALLER,
            is_admin=True,
            cache="off",  # The prompt's code is new each time, so that no answer is found again.
            schema=prompt.schema,
            cancel=line.cancel,
        )
        try:
            generation = line.answer(self.gateway, request)
        except AppError as error:
            text = str(error).replace(prompt.fence, "[code]")
            return _missing(key, ask, _status(error), text)
        return _read(key, ask, prompt, generation)

    def _prompt(self, ask: Ask) -> Prompt:
        if len(ask.answers) == 2:
            return choosing(self.rubric, ask.conversation, *ask.answers)
        by_name = {dimension.name: dimension for dimension in self.rubric.dimensions}
        dimensions = [by_name[name] for name in ask.order]
        return marking(self.rubric, dimensions, ask.conversation, ask.answers[0])

    def _key(self, ask: Ask) -> str:
        parts: list[JsonValue] = [
            *(self.rubric.digest, self.served, TEMPERATURE, MAX_TOKENS),
            *(ask.id, ask.repeat, ask.call, list(ask.order), ask.conversation, list(ask.answers)),
        ]
        return hashlib.sha256(canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()


def make_judge(
    gateway: Gateway,
    model: str,
    rubric: Rubric,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> Judge:
    """Return the judge; weights that are not on this disk are fetched.

    Raises:
        AppError: the model is not in the catalog, can't be fetched, or its weights can't be read.
    """
    served, traffic = identify(gateway, model).served, gateway.traffic
    health = Health(traffic.breaker, traffic.catalog.resolve(model))
    return Judge(gateway, model, rubric, served, health, on_verdict)


@dataclass(frozen=True, slots=True)
class _Line:
    """The line to a judge, until it is given up."""

    health: Health
    closed: threading.Event = field(default_factory=threading.Event)
    """Set: nothing more is sent; what is under way may end."""
    cancel: threading.Event = field(default_factory=threading.Event)
    """Set: what is under way is ended."""

    def answer(self, gateway: Gateway, request: GenerationRequest) -> Generation:
        """Return the reply, after the waits that are worth it.

        Raises:
            AppError: there is none.
        """
        while True:
            try:
                generation = whole_answer(gateway, request)
            except AppError as error:
                wait_s = self._wait_s(error)
                if wait_s is None or self.closed.wait(wait_s):
                    raise
                continue
            if generation.finish_reason == "cancelled":
                raise UnavailableError("the call was stopped")
            self.health.answered()
            return generation

    def _wait_s(self, error: AppError) -> float | None:
        """Return after how many seconds to ask again; None: the verdict is missing."""
        if _status(error) == "unparsed":
            self.health.answered()  # What it said is no verdict, but it is there.
            return None
        advice = self.health.failed(error)
        if advice.gives_up is not None:
            self.closed.set()
        return advice.wait_s


def _status(error: AppError) -> Status:
    if isinstance(error, InputError):
        return "refused"
    return "unparsed" if error.failure == "malformed" else "error"


def _missing(key: str, ask: Ask, status: Status, reason: str) -> Verdict:
    return Verdict(
        key=key,
        id=ask.id,
        repeat=ask.repeat,
        order=ask.order,
        call=ask.call,
        status=status,
        reason=reason[:MAX_REASON_CHARACTERS],
    )


def _read(key: str, ask: Ask, prompt: Prompt, generation: Generation) -> Verdict:
    """Read a reply by the schema; what does not follow it is no verdict."""
    found = read_answer(generation.text, prompt.schema)
    value = found.value
    if found.errors or not isinstance(value, dict):
        return _missing(key, ask, "unparsed", "; ".join(found.errors) or "no verdict")
    marks = {name: int(value[name]) for name in ask.order if name in value}
    winner = value.get("winner")
    shown = dict(zip(("first", "second"), ask.order, strict=False))
    return Verdict(
        key=key,
        id=ask.id,
        repeat=ask.repeat,
        order=ask.order,
        call=ask.call,
        status="ok",
        marks=marks,
        winner=shown.get(winner, winner) if isinstance(winner, str) else None,
        reason=str(value["reason"]).replace(prompt.fence, "[code]")[:MAX_REASON_CHARACTERS],
        model=generation.model.id,
        digest=generation.model.digest,
        params=generation.params.to_dict(),
        cost_usd=generation.cost_usd,
    )
