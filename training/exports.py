"""Exports that a page asks for: made by an errand, kept under `exports/`, sent as a download.

exports/understudy-toolcall-v2.gguf.Q8_0/understudy-toolcall-v2/   whole, or not there
"""

import re
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.catalog_files import load_catalog
from core.engines.gguf_files import QUANTISATIONS, Quantisation
from core.errors import InputError, NotFoundError
from core.messages import JsonObject, JsonValue
from core.settings import Settings
from core.store import open_store
from training.errand_folder import Order
from training.export import KINDS, export, find_source, push
from training.export_card import Measured, read_results
from training.registry import Registry

FOLDER = "exports"
QUANTISED = ("gguf", "ollama")
"""Kinds whose matrices are quantised."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
KEPT = 6
"""Exports that stay on the disk, the newest."""
MAX_DOWNLOAD_BYTES = 4 * 10**9
"""Largest export that is sent to a browser; a larger one is taken from its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """What is asked for."""

    adapter: str
    """A version's name."""
    kind: str
    """One of `training.export.KINDS`."""
    quantisation: Quantisation = "F16"
    """Of the matrices of `gguf` and `ollama`."""
    push: str | None = None
    """Where on the Hub to put it, `OWNER/NAME`; None: nowhere."""

    def __post_init__(self) -> None:
        """Refuse what can't be made."""
        if self.kind not in KINDS:
            raise InputError(f"no export named {self.kind!r}; choose one of: {', '.join(KINDS)}")
        if self.quantisation not in QUANTISATIONS:
            known = ", ".join(QUANTISATIONS)
            raise InputError(f"no quantisation {self.quantisation!r}; choose one of: {known}")
        if self.push is not None and not REPOSITORY.fullmatch(self.push):
            raise InputError(f"a repository on the Hub is OWNER/NAME, got {self.push[:80]!r}")

    @property
    def key(self) -> str:
        """Return the name of the export."""
        part = f".{self.quantisation}" if self.kind in QUANTISED else ""
        return f"{self.adapter}.{self.kind}{part}"

    def errand(self, settings: Settings, results: Sequence[Path] = ()) -> Order:
        """Return the errand that makes it; `results` are evaluations for the model card.

        Raises:
            InputError: it is to be pushed, and there is no token.
        """
        if self.push is not None and not settings.environment.get("HF_TOKEN"):
            raise InputError(
                "a push needs a token that may write: set HF_TOKEN and start the app again"
            )
        arguments: JsonObject = {
            "adapter": self.adapter,
            "kind": self.kind,
            "quantisation": self.quantisation,
            "push": self.push,
            "results": [str(path) for path in results],
        }
        return Order("export", self.adapter, arguments)


@dataclass(frozen=True, slots=True)
class MadeExport:
    """An export on the disk."""

    key: str
    folder: Path
    """Holds its files; named like the adapter."""
    size_bytes: int
    made_at: float
    """Seconds since 1970."""

    @property
    def is_downloadable(self) -> bool:
        """Say whether it is small enough to be sent."""
        return self.size_bytes <= MAX_DOWNLOAD_BYTES


def made_exports(home: Path) -> tuple[MadeExport, ...]:
    """Return the exports of a home, the newest first."""
    try:
        found = [made for path in (home / FOLDER).iterdir() if (made := _made(path)) is not None]
    except OSError:
        return ()
    return tuple(sorted(found, key=lambda made: -made.made_at))


def find_export(home: Path, key: str) -> MadeExport:
    """Return one export; the name is looked up and makes no path.

    Raises:
        NotFoundError: there is none of this name.
    """
    for made in made_exports(home):
        if made.key == key:
            return made
    raise NotFoundError(f"no export named {key[:80]!r}; make it first")


def make_export(given: JsonObject, settings: Settings) -> dict[str, JsonValue]:
    """Make the export that an errand asks for, and push it if it says so.

    One that is there is made anew: figures for its card may have come since.

    Raises:
        AppError: as `find_source`, `export` and `push`.
    """
    order, results = _order(given), _results(given)
    with closing(open_store(settings.database_url)) as store:
        registry = Registry(store, settings.home)
        source = find_source(registry, load_catalog(settings), order.adapter, results)
    for old in [made for made in made_exports(settings.home) if made.key != order.key][KEPT - 1 :]:
        shutil.rmtree(old.folder.parent, ignore_errors=True)
    folder = settings.home / FOLDER / order.key
    shutil.rmtree(folder, ignore_errors=True)
    done = export(source, order.kind, folder / order.adapter, order.quantisation)
    if order.push is not None:
        token = settings.environment.get("HF_TOKEN")
        done["pushed"] = push(folder / order.adapter, order.push, token)
    return done


def _order(given: JsonObject) -> ExportOrder:
    size: Quantisation = next(one for one in QUANTISATIONS if one == given["quantisation"])
    target = given["push"]
    return ExportOrder(
        adapter=str(given["adapter"]),
        kind=str(given["kind"]),
        quantisation=size,
        push=None if target is None else str(target),
    )


def _results(given: JsonObject) -> list[Measured]:
    paths = given["results"]
    assert isinstance(paths, list)
    return [one for path in paths for one in read_results(Path(str(path)))]


def _made(folder: Path) -> MadeExport | None:
    """Return the export in a folder; None: it is not whole."""
    try:
        files = next((path for path in folder.iterdir() if not path.name.startswith(".")), None)
        if files is None:
            return None
        size = sum(path.stat().st_size for path in files.iterdir())
        return MadeExport(folder.name, files, size, files.stat().st_mtime)
    except OSError:
        return None
