"""A home's side of its jobs: its name among others on one database, and its supervisor."""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from core.errors import StorageError
from core.messages import new_id
from core.settings import PROJECT, Settings

SUPERVISOR, LOG = "training.supervisor", "supervisor.log"
NAME = "home"


def home_name(folder: Path) -> str:
    """Return what tells this disk from others that share the database; made at first use.

    Raises:
        StorageError: the folder can't be written.
    """
    path = folder / NAME
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / f".{NAME}-{new_id()}"
            draft.write_text(new_id(), encoding="utf-8")
            with suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be written: {error.strerror}") from error


def start_supervisor(settings: Settings, module: str = SUPERVISOR) -> None:
    """Start a supervisor that outlives this process; if there is one, the new one ends at once.

    Raises:
        StorageError: it can't be started, or its log can't be written.
    """
    environment = {
        **settings.environment,
        "UNDERSTUDY_HOME": str(settings.home),
        "UNDERSTUDY_DATABASE_URL": settings.database_url,
    }
    try:
        with (settings.home / "jobs" / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        raise StorageError(f"no supervisor can be started: {error.strerror}") from error
    # Nobody waits for it but the system, which keeps what ended until its parent has asked.
    threading.Thread(target=process.wait, daemon=True).start()
