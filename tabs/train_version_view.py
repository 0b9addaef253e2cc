"""What the step Version shows: the registered versions, one in full, and its exports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from core.errors import InputError, NotFoundError
from core.messages import JsonValue
from core.store.adapters import StoredAdapter
from tabs.leaderboard_view import text_of
from tabs.train_links import place_of
from tabs.train_parts import TrainParts
from tabs.train_result_view import compare_link, find_view, subject_of
from tabs.train_run_figures import Figure
from training.errand_folder import Errand
from training.exports import FOLDER, MAX_DOWNLOAD_BYTES, MadeExport, made_exports
from training.registry import Registry

DOWNLOAD = "adapters/exports/"
"""Where exports are sent from, as `core.web` has it."""
KIND_NAMES: Mapping[str, str] = {
    "adapter": "Adapter (peft's own format)",
    "merged": "Merged model (safetensors)",
    "gguf": "Merged model as GGUF (llama.cpp)",
    "gguf-adapter": "Adapter as GGUF, beside the base's",
    "ollama": "GGUF with a Modelfile (Ollama)",
}
FIGURE_NAMES: Mapping[str, str] = {
    "steps": "Steps",
    "loss": "Last loss",
    "eval_loss": "Eval loss",
    "best_step": "Best step",
    "best_step_lost": "Better step, lost",
    "tokens": "Tokens",
    "examples": "Examples",
    "eval_examples": "Held out",
    "trainable_parameters": "Trained weights",
    "parameters": "All weights",
    "memory_gb": "Memory, GB",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page shows already; that is not sent again."""

    every_s: float = 0.0
    listed: str = ""
    told: str = ""
    exported: str = ""
    can_register: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """An export on the disk, as a page lists it."""

    made: MadeExport
    link: str


class VersionScreen:
    """Reads the registry and says what a page shows of it; safe to share between threads."""

    def __init__(self, parts: TrainParts) -> None:
        self._parts = parts
        self.registry = Registry(parts.services.store, parts.home)

    def versions(self) -> tuple[StoredAdapter, ...]:
        """Return all versions, the newest first."""
        return tuple(reversed(self.registry.list()))

    def listed(self, versions: tuple[StoredAdapter, ...], chosen: str) -> str:
        """Return the list of versions as HTML."""
        return self._parts.render("train_versions.html", versions=versions, chosen=chosen)

    def told(self, stored: StoredAdapter) -> str:
        """Return one version as HTML."""
        subject = subject_of(stored)
        return self._parts.render(
            "train_version.html",
            place=place_of("version", version=stored.name),
            stored=stored,
            id=subject.adapted,
            figures=version_figures(stored.figures),
            chat=f"?{urlencode({'chat': subject.adapted})}",
            compare=compare_link(subject),
            result=place_of("result", run=stored.run),
        )

    def working(self) -> Errand | None:
        """Return the newest export that was asked for."""
        return self._parts.errands.newest("export")

    def exported(self, stored: StoredAdapter, errand: Errand | None) -> str:
        """Return the exports of a version as HTML, and how the newest errand is."""
        rows = [
            Row(made, f"{DOWNLOAD}{quote(made.key)}")
            for made in made_exports(self._parts.home)
            if made.folder.name == stored.name
        ]
        return self._parts.render(
            "train_exports.html",
            rows=rows,
            errand=errand,
            name="" if errand is None else str(errand.order.arguments.get("adapter")),
            kind="" if errand is None else str(errand.order.arguments.get("kind")),
            pushed="" if errand is None else str(errand.result.get("pushed") or ""),
            limit_gb=MAX_DOWNLOAD_BYTES / 1e9,
            folder=str(self._parts.home / FOLDER),
        )

    def results(self, stored: StoredAdapter) -> list[Path]:
        """Return the newest completed evaluations of a version and its base, for its card."""
        subject = subject_of(stored)
        newest: dict[tuple[str, str], Path] = {}
        for run in self._parts.board.index.all()[0]:
            key = run.model
            is_base = (key.name, key.model_digest) == (subject.base, subject.base_digest)
            is_it = (key.name, key.adapter_digest) == (subject.adapted, subject.adapter_digest)
            if run.status == "completed" and (is_base or is_it):
                newest[(run.task, key.name)] = run.folder / "summary.json"
        return list(newest.values())

    def can_register(self, run: str) -> bool:
        """Say whether a run is done and has made no version yet."""
        view = find_view(self._parts, run)
        if view is None or view.adapter is not None:
            return False
        return bool((view.folder / "adapter").is_dir())

    def of_run(self, run: str) -> StoredAdapter | None:
        """Return the version that a run has made."""
        view = find_view(self._parts, run)
        return None if view is None or view.adapter is None else self.registry.get(view.adapter)

    def get(self, name: str) -> StoredAdapter:
        """Return a version by its name.

        Raises:
            NotFoundError: there is none.
        """
        if not name:
            raise InputError("no version is chosen")
        return self.registry.get(text_of(name))

    def find(self, name: str) -> StoredAdapter | None:
        """Return a version by its name; None where there is none."""
        try:
            return self.registry.get(text_of(name)) if name else None
        except (InputError, NotFoundError):
            return None


def version_figures(figures: Mapping[str, JsonValue]) -> tuple[Figure, ...]:
    """Return what was measured while a version was trained; what is unknown is left out."""
    found = [(FIGURE_NAMES.get(name, name), _text(value)) for name, value in figures.items()]
    return tuple(Figure(name, text) for name, text in found if text is not None)


def _text(value: JsonValue) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
