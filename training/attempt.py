"""One attempt at a run: load, find the last checkpoint, train on, put what was learnt in place."""

import hashlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.settings import Settings
from training.attempt_parts import base_digest, base_folder, load_rows, main_first, set_up
from training.checkpoint_saving import Saving
from training.checkpoints import Checkpoint, clear_parts, newest_valid
from training.events import Kind
from training.heartbeat import Heartbeat
from training.learnt import choose, put_in_place
from training.mirror_state import MirrorLink
from training.recipes.base_model import load_base
from training.recipes.course import Course, eval_losses, is_stale
from training.recipes.hooks import Hooks
from training.recipes.samples import samples
from training.recipes.trainers import Built, build_trainer
from training.run_folder import CHECKPOINTS, RunSpec, library_versions
from training.teller import Teller

if TYPE_CHECKING:
    from core.providers.weights import Weights

COMPLETED, STOPPED = 0, 75
logger = logging.getLogger(__name__)


class Attempt:
    """One process's part in one attempt at a run."""

    def __init__(
        self, folder: Path, spec: RunSpec, settings: Settings, teller: Teller, pulse: Heartbeat
    ) -> None:
        self._folder, self._spec, self._settings = folder, spec, settings
        self._tell, self._pulse = teller, pulse
        self._checkpoints = folder / CHECKPOINTS
        self._mirror = MirrorLink(folder, spec.config.mirror)

    def carry_out(self, stop: threading.Event) -> int:
        """Do what is left of the run; return 0 when it is completed, 75 when it was stopped.

        Raises:
            AppError: it failed; the text says why.
        """
        world = set_up(self._spec.threads)
        self._pulse.phase = "loading"
        base = base_folder(self._spec.config.model, self._settings)
        digest = base_digest(base, self._spec)
        weights = load_base(self._spec.config, base)
        course = self._course(weights, world)
        plan = hashlib.sha256(f"{course.digest} {digest}".encode()).hexdigest()
        with main_first(world):
            checkpoint = self._checkpoint(f"sha256:{plan}")
        saving = self._saving(f"sha256:{plan}")
        hooks = Hooks(report=self._report, stops=stop.is_set, saving=saving)
        built = build_trainer(weights, course, self._checkpoints, hooks)
        self._begin(course, built, checkpoint, digest)
        if world == 1 and stop.is_set():
            self._tell("stopped", checkpoint.manifest.step if checkpoint else 0, {})
            return STOPPED
        self._train(built.trainer, weights, checkpoint)
        if stop.is_set() and not self._is_done(course, built.trainer.state):
            self._tell("stopped", built.trainer.state.global_step, {})
            return STOPPED
        self._finish(built.trainer, weights)
        return COMPLETED

    def _course(self, weights: "Weights", world: int) -> Course:
        self._pulse.phase = "tokenising"
        rows = load_rows(self._folder, self._spec, weights.tokenizer)
        if cut := sum(row.is_truncated for row in rows.train):
            self._tell("warning", 0, {"what": "truncated", "rows": cut, "of": len(rows.train)})
        return Course(self._spec.config, rows.train, rows.eval, world=world)

    def _setting(self) -> dict[str, str]:
        """Return what must stay as it is for a resumed run to give the same numbers."""
        import torch

        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return {**library_versions(), "device": device, "threads": str(self._spec.threads)}

    def _saving(self, plan: str) -> Saving:
        saving = Saving(self._checkpoints, self._spec.config, self._report)
        saving.belongs_to(plan, self._setting())
        return saving

    def _checkpoint(self, plan: str) -> Checkpoint | None:
        """Return the newest whole checkpoint; tell of what is damaged, and of what has changed.

        Raises:
            InputError: it belongs to other settings, data, base or number of processes.
        """
        for name in clear_parts(self._checkpoints):
            self._tell("warning", 0, {"what": "unfinished_save_deleted", "path": name})
        checkpoint, damaged = newest_valid(self._checkpoints)
        for each in damaged:
            values = {"path": f"{CHECKPOINTS}/{each.path.name}", "reason": each.reason}
            self._tell("warning", 0, {"what": "damaged_checkpoint_set_aside", **values})
        if checkpoint is None:
            return None
        if checkpoint.manifest.plan != plan:
            raise InputError(
                f"the checkpoint {str(checkpoint.path)!r} belongs to other settings, examples, "
                "base weights or number of processes; start a new run for those"
            )
        changed = {
            name: {"was": checkpoint.manifest.setting.get(name), "is": value}
            for name, value in self._setting().items()
            if checkpoint.manifest.setting.get(name) != value
        }
        if changed:
            self._tell("warning", 0, {"what": "resumed_elsewhere", "changed": changed})
        return checkpoint

    def _begin(
        self, course: Course, built: Built, checkpoint: Checkpoint | None, digest: str
    ) -> None:
        self._tell(
            "started",
            checkpoint.manifest.step if checkpoint else 0,
            {
                "total_steps": course.total,
                "eval_every": course.eval_every if course.has_eval else None,
                "examples": len(course.rows),
                "eval_examples": len(course.eval_rows),
                "resumed_from": checkpoint.path.name if checkpoint else None,
                "base_digest": digest,
                "dataset_digest": self._spec.dataset_digest,
                **built.facts,
                **self._setting(),
            },
        )
        self._mirror.start()

    def _train(self, trainer: Any, weights: "Weights", checkpoint: Checkpoint | None) -> None:
        from transformers import TrainerState

        self._pulse.phase = "training"
        if checkpoint is None:
            self._samples(trainer, weights, "before")
            trainer.train()
            return
        state = TrainerState.load_from_json(str(checkpoint.path / "trainer_state.json"))
        if self._is_done(trainer.course, state):
            trainer.state = state
            return
        trainer.train(resume_from_checkpoint=str(checkpoint.path))

    def _is_done(self, course: Course, state: Any) -> bool:
        """Say whether all steps are done, or more would bring nothing."""
        losses = eval_losses(state.log_history)
        return state.global_step >= course.total or is_stale(losses, self._spec.config.patience)

    def _finish(self, trainer: Any, weights: "Weights") -> None:
        """Put the best weights in place and tell of them; of lost ones, what took their place."""
        self._pulse.phase = "finishing"
        if not trainer.is_world_process_zero():
            return
        step, losses = trainer.state.global_step, eval_losses(trainer.state.log_history)
        choice = choose(self._checkpoints, losses, step)
        if choice.lost is not None:
            values = {"step_lost": choice.wanted, "used": choice.step, "reason": choice.lost}
            self._tell("warning", step, {"what": "best_checkpoint_lost", **values})
        source = self._checkpoints / f"step-{choice.step}"
        place = put_in_place(self._folder, source, self._spec.config, weights.tokenizer)
        trainer.load_learnt(source)
        self._samples(trainer, weights, "after")
        done: dict[str, Any] = {
            "best_step": choice.step if losses else None,
            "eval_loss": dict(losses).get(choice.step),
            "path": place.path.name,
            "digest": place.digest,
            "is_early": step < trainer.course.total,
        }
        if choice.lost is not None:
            done["best_step_lost"] = choice.wanted
        self._tell("completed", step, done)

    def _samples(self, trainer: Any, weights: "Weights", when: str) -> None:
        if trainer.is_world_process_zero():
            for sample in samples(trainer, weights.tokenizer):
                self._tell("sample", trainer.state.global_step, {"when": when, **sample})

    def _report(self, kind: Kind, step: int, values: Mapping[str, Any]) -> None:
        self._tell(kind, step, values)
        if kind == "step":
            self._pulse.stepped(step)
        elif kind == "checkpoint" and (late := self._mirror.lateness(step)) is not None:
            self._tell("warning", step, {"what": "mirror_behind", **late})
