"""Runs inside the app: queued, carried out one after the other, stopped, and resumed.

What a run is and how far it came stands in its folder; here is only who waits and who is at work.
Orders that wait are in a file of their own, so that a restarted app offers them again.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from core.errors import AppError, InputError, NotFoundError
from core.messages import new_id
from evals import progress as progress_of
from evals.bench import Bench
from evals.leaderboard_files import FileMemory
from evals.leaderboard_pending import (
    BUSY,
    Order,
    RunState,
    Unfinished,
    left_waiting,
    read_unfinished,
)
from evals.leaderboard_runs import RunIndex
from evals.lock import is_held
from evals.manifest import RunConfig
from evals.run import carry_out, plan_run
from evals.run_files import RunFolder, open_run, write_whole

QUEUE = "queue.json"
MAX_WAITING = 20
"""Orders that may wait."""
MAX_LISTED = 12
"""Runs that can be resumed which are listed, the newest first."""
REMEMBERED = 500
"""Unfinished runs whose state stays in memory."""
Progress = Callable[[str, int, int], None]
"""Told which run it is, how many answers are done, and of how many."""


class Carry(Protocol):
    """Carries out a run through the app's own gateway."""

    def begin(self, config: RunConfig, stop: threading.Event, progress: Progress) -> object:
        """Carry out a new run until it ends or is stopped."""
        ...

    def resume(self, run: str, stop: threading.Event, progress: Progress) -> object:
        """Carry out what is left of a run."""
        ...


class BenchCarry:
    """Carries runs out through the app's own gateway, so that weights and budgets are shared."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def begin(self, config: RunConfig, stop: threading.Event, progress: Progress) -> object:
        """Plan a run and carry it out."""
        return self._carry(plan_run(self._bench, config), stop, progress)

    def resume(self, run: str, stop: threading.Event, progress: Progress) -> object:
        """Carry out what is left of a run."""
        return self._carry(open_run(self._bench.home, run), stop, progress)

    def _carry(self, folder: RunFolder, stop: threading.Event, progress: Progress) -> object:
        progress(folder.run, 0, len(folder.manifest().keys))

        def tell(now: progress_of.Progress) -> None:
            progress(folder.run, now.done, now.total)

        watch = progress_of.Watch(on_progress=tell, stop=stop)
        return carry_out(self._bench, [folder], watch)


class EvalRuns:
    """The app's runs; one at a time is at work, so that weights and budgets are not torn."""

    def __init__(self, home: Path, carry: Carry) -> None:
        """Offer what a former app left waiting; nothing starts by itself."""
        self._home = home
        self._carry = carry
        self._index = RunIndex(home)
        self._lock = threading.Lock()
        self._memory: FileMemory[Unfinished | None] = FileMemory(REMEMBERED)
        self._orders = {order.id: order for order in left_waiting(self._queue_path)}
        self._worker = ThreadPoolExecutor(1, "eval-run")

    @property
    def _queue_path(self) -> Path:
        return self._home / "evals" / QUEUE

    def start(self, config: RunConfig) -> str:
        """Queue a new run; return the order's name.

        Raises:
            InputError: too many wait, or the same order waits already.
        """
        return self._queue(Order(f"order-{new_id()[:12]}", config, None))

    def resume(self, name: str) -> str:
        """Queue what is left of a run, or an order that a former app left waiting.

        Raises:
            NotFoundError: there is no such run or order.
            InputError: it is at work or complete, or too many wait.
        """
        left = self._order_of(name)
        if left is not None and left.status not in BUSY:
            with self._lock:
                self._orders.pop(left.id, None)
            if left.run is None:
                return self._queue(Order(left.id, left.config, None))
        elif left is not None:
            raise InputError(f"{name!r} waits or is at work already")
        folder = open_run(self._home, name).path
        found = self._unfinished(folder)
        if found is None or is_held(folder):
            raise InputError(f"run {name!r} is complete or at work; there is nothing to resume")
        return self._queue(Order(f"order-{new_id()[:12]}", found.config, name))

    def stop(self, name: str) -> None:
        """Take an order out of the queue, or end a run after the answers under way.

        Raises:
            NotFoundError: this app carries out no such run.
        """
        order = self._order_of(name)
        if order is None or order.status not in BUSY:
            raise NotFoundError(f"this app has no run {name[:160]!r} at work or waiting")
        with self._lock:
            order.stop.set()
            if order.status == "queued":
                del self._orders[order.id]
            else:
                order.status = "stopping"
        self._save()

    def states(self) -> tuple[RunState, ...]:
        """Return who is at work, who waits, and what can be resumed, the newest first."""
        with self._lock:
            orders = list(self._orders.values())
        waiting = [order.id for order in orders if order.status == "queued"]
        ours = [
            order.state(waiting.index(order.id) + 1 if order.id in waiting else None)
            for order in orders
        ]
        named = {state.run for state in ours}
        return (*ours, *(state for state in self._elsewhere() if state.run not in named))

    def has_any(self) -> bool:
        """Return whether any run was ever begun here."""
        return any(True for _ in self._index.folders())

    def wait(self) -> None:
        """Return once nothing waits or is at work."""
        self._worker.submit(int).result()

    def close(self) -> None:
        """Stop what is at work and keep what waits; both can be resumed."""
        with self._lock:
            for order in self._orders.values():
                order.stop.set()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _queue(self, order: Order) -> str:
        with self._lock:
            waiting = [each for each in self._orders.values() if each.status in BUSY]
            if len(waiting) >= MAX_WAITING:
                raise InputError(f"{MAX_WAITING} runs wait already; stop one or come back later")
            if any(each.run and each.run == order.run for each in waiting):
                raise InputError(f"run {order.run!r} waits already")
            self._orders[order.id] = order
        self._save()
        self._worker.submit(self._work, order).add_done_callback(_log_bug(order))
        return order.run or order.id

    def _work(self, order: Order) -> None:
        """Carry out one order; what it asks for and can't have is said in the list."""
        with self._lock:
            if order.stop.is_set():
                return
            order.status = "starting"
        self._save()

        def progress(run: str, done: int, total: int) -> None:
            order.run, order.done, order.total = run, done, total
            if order.status == "starting":
                order.status = "running"
                self._save()

        try:
            if order.run is None:
                self._carry.begin(order.config, order.stop, progress)
            else:
                self._carry.resume(order.run, order.stop, progress)
        except AppError as error:
            order.error, order.status = str(error), "failed"
        else:
            with self._lock:
                self._orders.pop(order.id, None)

    def _order_of(self, name: str) -> Order | None:
        with self._lock:
            orders = list(self._orders.values())
        return next((order for order in orders if name in (order.id, order.run)), None)

    def _elsewhere(self) -> Iterable[RunState]:
        """Yield the runs that others carry out, and those that can be resumed."""
        found: list[tuple[str, RunState]] = []
        for folder in self._index.folders():
            about = self._unfinished(folder)
            if about is None:
                continue
            held = is_held(folder)
            status = "running" if held else about.status
            state = RunState(
                run=folder.name,
                model=about.config.model,
                task=about.config.task,
                status=status,
                done=0 if held else about.done,
                total=0 if held else about.total,
                is_ours=False,
            )
            found.append((about.created_at, state))
        found.sort(key=lambda each: (each[0], each[1].run), reverse=True)
        return [state for _, state in found[:MAX_LISTED]]

    def _unfinished(self, folder: Path) -> Unfinished | None:
        names = ("manifest.json", "summary.json", "generations.jsonl")
        return self._memory.get(tuple(folder / name for name in names), read_unfinished)

    def _save(self) -> None:
        """Store the orders that have no folder yet; those that have one need no other record."""
        with self._lock:
            left = [
                {"id": order.id, "config": asdict(order.config)}
                for order in self._orders.values()
                if order.run is None and order.status in ("queued", "starting", "interrupted")
            ]
            self._queue_path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._queue_path, json.dumps(left).encode())


def _log_bug(order: Order) -> Callable[["Future[None]"], None]:
    """Return what makes a bug visible that has ended an order: in the list and in the log."""

    def look(future: "Future[None]") -> None:
        if future.cancelled() or (bug := future.exception()) is None:
            return
        order.error, order.status = "an error of Understudy's own; see the log", "failed"
        logging.getLogger(__name__).error("run of %s failed", order.config.task, exc_info=bug)

    return look
