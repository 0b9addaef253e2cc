"""Battles that a judge decides, in bulk: two models on the items of a task, both orders asked.

They stand in the same store as people's, marked as a judge's. A battle is stored with its vote, so
the same command again asks only for what is missing; verdicts are kept as they come.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core.errors import AppError, InputError, StorageError
from core.gateway.gateway import Gateway
from core.messages import Generation, GenerationRequest, JsonValue
from core.store import Store
from core.store.battle_records import Arm, Ballot, NewBattle, shown_answer
from core.store.battles import Battles
from evals.arena.draw import arm_of
from evals.arena.items import Item, as_item
from evals.bench import Bench
from evals.generate import whole_answer
from evals.identity import identify
from evals.judge.anchors import AnchorCheck, check_pairs
from evals.judge.asking import Judge, make_judge
from evals.judge.candidates import Candidate, refuse_candidates
from evals.judge.pairwise import Battle, Pair, PairReport, compare_pairs, pair_report
from evals.judge.prompts import conversation_text
from evals.judge.rubric_files import load_rubric, rubric_folders
from evals.judge.verdicts import VERDICTS_FILE, VerdictFile
from evals.lock import held
from evals.plan import ordered
from evals.progress import REMOTE_REQUESTS
from evals.task_files import load_task, samples_of

CALLER = "evals"
NO_ANSWER = ("content_filter", "abstained", "cancelled")
"""Ends of a generation that left no answer to judge."""


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """What is to be judged."""

    models: tuple[str, str]
    task: str
    judge: str
    rubric: str
    limit: int | None = None
    """Items to take, from the front of the shuffled ones; None: all."""
    experiment: str | None = None
    """The experiment that the battles are of."""

    def __post_init__(self) -> None:
        """Refuse what can't be judged."""
        if self.models[0] == self.models[1]:
            raise InputError(f"{self.models[0][:80]!r} can't battle itself; name two models")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit must be at least 1, got {self.limit}")

    @property
    def voter(self) -> str:
        """Return whom the votes are stored as: each judge with its rubric, and experiment."""
        parts = ["judge", self.judge, self.rubric]
        return ":".join(parts if self.experiment is None else [*parts, self.experiment])


@dataclass(frozen=True, slots=True)
class JudgedBattles:
    """What came of it."""

    plan: JudgePlan
    served: str
    """Which weights or servers judged."""
    rubric_digest: str
    report: PairReport
    """Of the battles that were judged now."""
    stored: int
    known: int
    """Battles that were there already."""
    anchors: AnchorCheck

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the result as JSON."""
        return {
            "judge": {"id": self.plan.judge, "served": self.served},
            "rubric": {"name": self.plan.rubric, "digest": self.rubric_digest},
            "task": self.plan.task,
            "model_a": self.plan.models[0],
            "model_b": self.plan.models[1],
            "experiment": self.plan.experiment,
            **self.report.to_dict(),
            "stored": self.stored,
            "known": self.known,
            "anchors": self.anchors.to_dict(),
        }


def judge_battles(
    bench: Bench, store: Store, plan: JudgePlan, on_progress: Callable[[int, int], None]
) -> JudgedBattles:
    """Generate the missing answers, have them judged, and store each battle with its vote.

    `on_progress` is told how many battles have ended, and of how many.

    Raises:
        ScoringError: the judge fails its anchors; nothing was generated.
        InputError: the judge is a candidate, or both models are the same weights.
        AppError: a model, the task or the rubric does not exist or can't be used.
    """
    task = load_task(plan.task, bench.home)
    samples = ordered(samples_of(task), 0, plan.limit)
    rubric = load_rubric(plan.rubric, rubric_folders(bench.home))
    arms = _arms(bench, plan)
    judge = make_judge(bench.gateway, plan.judge, rubric)
    folder = _folder(bench.home, plan.rubric)
    with held(folder):
        verdicts = VerdictFile(folder / VERDICTS_FILE)
        anchors = check_pairs(judge, verdicts)
        work = _Work(bench.gateway, Battles(store), plan, arms, judge, verdicts)
        known = work.known()
        missing = [as_item(task, sample) for sample in samples if sample.id not in known]
        judged = work.all(missing, on_progress)
    report = pair_report(judged, len(missing) - len(judged))
    stored = sum(battle.outcome is not None for battle in judged)
    already = len(samples) - len(missing)
    return JudgedBattles(plan, judge.served, rubric.digest, report, stored, already, anchors)


def _arms(bench: Bench, plan: JudgePlan) -> tuple[Arm, Arm]:
    traffic = bench.gateway.traffic
    found = [identify(bench.gateway, model) for model in plan.models]
    candidates = [
        Candidate(model, tuple(d for d in (one.model_digest, one.adapter_digest) if d))
        for model, one in zip(plan.models, found, strict=True)
    ]
    refuse_candidates(traffic, plan.judge, candidates)
    one, other = (arm_of(traffic, model) for model in plan.models)
    if one.digest == other.digest:
        raise InputError(f"{one.model!r} and {other.model!r} are the same; name two models")
    return one, other


def _folder(home: Path, rubric: str) -> Path:
    """Return where the verdicts by a rubric are kept."""
    folder = home / "judge_battles" / rubric
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{str(folder)!r} can't be made: {error.strerror}") from error
    return folder


@dataclass(frozen=True, slots=True)
class _Work:
    """One judge at work on two models."""

    gateway: Gateway
    battles: Battles
    plan: JudgePlan
    arms: tuple[Arm, Arm]
    judge: Judge
    verdicts: VerdictFile

    def known(self) -> set[str]:
        """Return the items on which these two have been judged, in either order."""
        both = set(self.plan.models)
        judged = self.battles.judged(self.plan.voter, self.plan.task)
        return {item for item, one, other in judged if {one, other} == both}

    def all(self, items: Sequence[Item], on_progress: Callable[[int, int], None]) -> list[Battle]:
        """Return the battles of all items; ends early where a whole batch brings no verdict."""
        ended: list[Battle] = []
        with ThreadPoolExecutor(REMOTE_REQUESTS, "battles") as pool:
            for start in range(0, len(items), REMOTE_REQUESTS):
                some = items[start : start + REMOTE_REQUESTS]
                found = self._batch(pool, some)
                ended += found
                on_progress(start + len(some), len(items))
                if all(battle.outcome is None for battle in found):
                    break
        return ended

    def _batch(self, pool: ThreadPoolExecutor, items: Sequence[Item]) -> list[Battle]:
        """Return and store the battles of some items; items without both answers have none."""
        asks = [self._request(item, arm) for item in items for arm in self.arms]
        answers = list(pool.map(self._answer, asks))
        both = [
            (item, one, other)
            for item, one, other in zip(items, answers[::2], answers[1::2], strict=True)
            if one is not None and other is not None
        ]
        pairs = [
            Pair(item.id, conversation_text(item.messages), shown_answer(one), shown_answer(other))
            for item, one, other in both
        ]
        battles = compare_pairs(self.judge, pairs, self.verdicts)
        for battle, (item, one, other) in zip(battles, both, strict=True):
            if battle.outcome is not None:
                new = self._new(item)
                self.battles.add_judged(new, (one, other), Ballot(battle.outcome))
        return battles

    def _answer(self, request: GenerationRequest) -> Generation | None:
        """Return an answer; None: there is none to judge."""
        try:
            generation = whole_answer(self.gateway, request)
        except AppError:
            return None
        return None if generation.finish_reason in NO_ANSWER else generation

    def _request(self, item: Item, arm: Arm) -> GenerationRequest:
        return GenerationRequest(
            model=arm.model,
            messages=item.messages,
            params=item.params,
            caller=CALLER,
            tools=item.tools,
            is_admin=True,
            cache="off",  # What each answer takes is measured for the panel.
        )

    def _new(self, item: Item) -> NewBattle:
        return NewBattle(
            voter=self.plan.voter,
            messages=item.messages,
            params=item.params,
            a=self.arms[0],
            b=self.arms[1],
            tools=item.tools,
            source="judge",
            task=item.task,
            item=item.id,
            experiment=self.plan.experiment,
        )
