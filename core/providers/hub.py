"""Fetching a model from the Hugging Face Hub: pinned, safetensors only, with progress."""

import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core.errors import UnavailableError
from core.messages import Progress

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
"""Weights, configuration, tokenizer, template; never code and never pickles."""


def fetch_snapshot(hub: str, revision: str, token: str | None) -> Generator[Progress, None, Path]:
    """Yield download progress in bytes; return the folder of the snapshot.

    What an earlier attempt has downloaded is kept; a complete snapshot is not asked for again.

    Raises:
        UnavailableError: the Hub can't be reached, refuses access, or the disk is full.
    """
    events: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hub") as executor:
        future = executor.submit(_download, hub, revision, token, events.put)
        future.add_done_callback(lambda _: events.put(None))
        while (event := events.get()) is not None:
            yield event
        return future.result()


def _download(
    hub: str, revision: str, token: str | None, report: Callable[[Progress], None]
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            hub,
            revision=revision,
            token=token,
            allow_patterns=list(WANTED),
            tqdm_class=_reporter(report),
        )
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise UnavailableError(
            f"{hub!r} can't be downloaded: the Hub is out of reach or refuses access; "
            "check the connection, the licence on the model's page, and HF_TOKEN"
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{hub!r} can't be saved: {error.strerror or 'disk error'}"
        ) from error
    return Path(folder)


def _reporter(report: Callable[[Progress], None]) -> type[Any]:
    """Return a progress bar class that reports bytes instead of drawing."""
    from huggingface_hub.utils import tqdm

    total = {"done": 0, "size": 0}
    lock = threading.Lock()

    class Reporter(tqdm):  # type: ignore[misc]  # the library's class has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts = kwargs.get("unit") == "B"
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)
            if self._counts:
                with lock:
                    total["size"] += int(kwargs.get("total") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            if self._counts and n:
                with lock:
                    total["done"] += int(n)
                    report(Progress("downloading", total["done"], max(total.values())))
            return None

    return Reporter
