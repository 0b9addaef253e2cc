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
UNWANTED = ("consolidated*",)
"""The same weights again, in the layout of Mistral's own engine."""
SUM_OF_BYTES = "huggingface_hub.snapshot_download"
"""Name of the library's progress bar over all bytes of a snapshot."""
OUT_OF_REACH = (
    "{!r} can't be downloaded: the Hub is out of reach or refuses access; "
    "check the connection, the licence on the model's page, and HF_TOKEN"
)


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
    from huggingface_hub.errors import HFValidationError, HTTPError, XetDownloadError

    try:
        folder = snapshot_download(
            hub,
            revision=revision,
            token=token,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
            tqdm_class=_reporter(report),
        )
    except (HTTPError, HFValidationError, XetDownloadError) as error:
        raise UnavailableError(OUT_OF_REACH.format(hub)) from error
    except OSError as error:
        if error.strerror is None or isinstance(error, ConnectionError):
            raise UnavailableError(OUT_OF_REACH.format(hub)) from error
        raise UnavailableError(f"{hub!r} can't be saved: {error.strerror}") from error
    return Path(folder)


def _reporter(report: Callable[[Progress], None]) -> type[Any]:
    """Return a progress bar class that reports bytes instead of drawing."""
    from huggingface_hub.utils import tqdm

    lock = threading.Lock()

    class Reporter(tqdm):  # type: ignore[misc]  # the library's class has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # Other bars count the same bytes on their way, or files.
            self._is_sum = kwargs.get("name") == SUM_OF_BYTES
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            with lock:
                self.n += n or 0
                if self._is_sum and n:
                    report(Progress("downloading", int(self.n), int(self.total or 0)))
            return None

    return Reporter
