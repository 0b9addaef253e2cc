"""Executors: where the workers of training runs are started."""

from collections.abc import Callable, Mapping
from pathlib import Path

from training.launch.base import Executor, Order, Presence, WorkerStatus
from training.launch.local import LocalExecutor

EXECUTORS: Mapping[str, Callable[[Path], Executor]] = {"local": LocalExecutor}
"""By name; each is made with the folder that holds the runs' folders."""

__all__ = ["EXECUTORS", "Executor", "LocalExecutor", "Order", "Presence", "WorkerStatus"]
