"""A second process that answers part of a run, where one would leave a core idle.

A small model is computed soonest on one core. On a machine with more, a command forks itself once
the libraries are loaded, and both processes draw from the same requests until none is left: the
run's own process from the front, the second one from the end, which keeps apart what begins alike.
Only the run's own process writes and grades. A second process that dies costs what it was at.
"""

import gc
import json
import logging
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from core.availability import availability_of
from core.catalog import located
from core.catalog_files import load_catalog
from core.engines.base import SMALL_MODEL
from core.engines.choice import choose_engine
from core.engines.measures import cores
from core.providers.weights import has_cuda, loaded_bytes
from core.services import make_services
from core.settings import Settings
from evals.answer_rows import Ask
from evals.bench import Bench
from evals.generate import LOCAL_REQUESTS, Asking, Helper, OnRows, taken
from evals.health import Health
from evals.manifest import Key
from evals.planned import Planned
from evals.run_files import open_run
from evals.run_rows import Row

log = logging.getLogger(__name__)
LEAST_REQUESTS = 64
"""Fewer are answered before a second process has its weights."""
LOOK_S = 0.2
"""How often a process that waits for the second one sees that the run was stopped."""

Under = dict[tuple[str, Key], Ask]


@contextmanager
def second_for(settings: Settings, model: str | None, requests: int) -> Iterator[Helper | None]:
    """Yield a second process if it would answer part of so many requests sooner, else None.

    To be called before anything else starts a thread or opens the store: it forks.

    Raises:
        InputError: the catalog is wrong.
    """
    if model is None or not _is_for_two(settings, model, requests):
        yield None
        return
    with closing(Second(settings, model)) as second:
        yield second.share


def _is_for_two(settings: Settings, model: str, requests: int) -> bool:
    """Say whether it is a single model of this disk that is computed on one core, without a GPU."""
    if sys.platform != "linux" or requests < LEAST_REQUESTS or cores() < 2 or has_cuda():
        return False
    name, _, version = model.partition("@")
    catalog = load_catalog(settings)
    entry = catalog.models.get(name)
    if entry is None or entry.provider != "local" or not availability_of(catalog, name).is_ready:
        return False
    if entry.path is None or entry.precision not in ("auto", "fp32"):
        return False
    folder = located(entry.path)
    if choose_engine(entry, folder, has_adapters=bool(version)).engine != "transformers":
        return False
    return loaded_bytes(folder, 1.0) < SMALL_MODEL


class Second:
    """The second process, as the run's own sees it."""

    def __init__(self, settings: Settings, model: str) -> None:
        """Load the libraries and fork; this process must have one thread as yet."""
        gc.disable()  # As the library's manual says: it would copy what the processes share.
        import torch  # noqa: F401  both processes then have it
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

        gc.freeze()
        context = get_context("fork")
        self._pipe, far = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(settings, model, far, self._pipe), daemon=True
        )
        self._process.start()
        far.close()
        gc.enable()

    def share(self, waiting: deque[Ask], stop: threading.Event, on_rows: OnRows) -> str | None:
        """Hand out requests from the end until none is left; return why the model was given up.

        What the process was at when it died, or when the run was stopped, is put back.

        Raises:
            Exception: what `on_rows` raises.
        """
        under_way: Under = {}
        try:
            while not stop.is_set():
                if not self._pipe.poll(LOOK_S):
                    continue
                said = json.loads(self._pipe.recv_bytes())
                if "gave_up" in said:
                    return None if said["gave_up"] is None else str(said["gave_up"])
                self._answer(said, waiting, under_way, on_rows)
        except (EOFError, OSError):
            log.warning("the second process of this run has ended; going on with one")
        finally:
            waiting.extend(under_way.values())
        return None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _answer(
        self, said: dict[str, Any], waiting: deque[Ask], under_way: Under, on_rows: OnRows
    ) -> None:
        if "row" in said:
            row = Row.from_dict(said["row"])
            ask = under_way.pop((said["run"], row.key))
            on_rows([(ask, row)])
            return
        drawn = taken(waiting.pop)
        if drawn is not None:
            under_way[drawn.run, drawn.key] = drawn
        self._pipe.send_bytes(_told(drawn))


def _told(ask: Ask | None) -> bytes:
    if ask is None:
        return b"null"
    return json.dumps({"run": ask.run, **ask.key._asdict(), "attempt": ask.attempt}).encode()


def _serve(settings: Settings, model: str, pipe: Connection, other_end: Connection) -> None:
    """Be the second process: ask what is handed out, and hand back the rows."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.enable()
    other_end.close()  # So that the end of the run's process is the end of the pipe.
    with suppress(EOFError, OSError), closing(make_services(settings)) as services:
        _Drawing(Bench.of(services), model, pipe).until_done()


class _Drawing:
    """Draws requests from the run's process, on as many threads as it would use itself."""

    def __init__(self, bench: Bench, model: str, pipe: Connection) -> None:
        self._pipe = pipe
        self._drawing, self._sending = threading.Lock(), threading.Lock()
        self._home, self._stop = bench.home, threading.Event()
        self._planned: dict[str, Planned] = {}
        health = Health(bench.gateway.traffic.breaker, bench.catalog.resolve(model))
        self._asking = Asking(bench.gateway, health, self._stop, self._hand_back)

    def until_done(self) -> None:
        self._asking.drawn(self._draw, LOCAL_REQUESTS)
        self._send({"gave_up": self._asking.gave_up})

    def _draw(self) -> Ask | None:
        with self._drawing:
            self._send({})
            said = json.loads(self._pipe.recv_bytes())
            if said is None:
                return None
            run = said["run"]
            if run not in self._planned:
                manifest = open_run(self._home, run).manifest()
                self._planned[run] = Planned.of(self._home, manifest, self._stop)
            return self._planned[run].ask(Key(said["id"], said["repeat"]), said["attempt"])

    def _hand_back(self, pairs: Sequence[tuple[Ask, Row]]) -> None:
        for ask, row in pairs:
            self._send({"run": ask.run, "row": asdict(row)})

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._sending:
            self._pipe.send_bytes(json.dumps(message).encode())
