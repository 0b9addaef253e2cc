"""The catalog's adapters as they are at any moment: those of its files, and the registered ones.

A version that is registered, by this process or another, may be used here within two seconds.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from core.catalog import AdapterEntry
from core.errors import StorageError
from core.store.adapters import StoredAdapters

FRESH_S = 1.0
"""How old what was read of the store may be."""
Versions = Mapping[str, Mapping[str, AdapterEntry]]


class RegisteredAdapters(Versions):
    """Model id to version to adapter, of models that have any; safe to share between threads."""

    def __init__(
        self, listed: Versions, models: Collection[str], stored: StoredAdapters, folder: Path
    ) -> None:
        """`listed` are the catalog files' own, which win; `models` may have registered ones.

        `folder` holds the registered versions' folders.
        """
        self._listed = listed
        self._models = models
        self._stored = stored
        self._folder = folder
        self._lock = threading.Lock()
        self._found: Versions = {name: dict(held) for name, held in listed.items() if held}
        self._read_at = -FRESH_S

    def __getitem__(self, model: str) -> Mapping[str, AdapterEntry]:
        return self._now()[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> Versions:
        """Return what there is now; while the store can't be read, what there was."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                with suppress(StorageError):
                    self._found = self._read()
                self._read_at = time.monotonic()
            return self._found

    def _read(self) -> Versions:
        found: dict[str, dict[str, AdapterEntry]] = {}
        for each in self._stored.all():
            if each.model in self._models:
                entry = AdapterEntry(str(self._folder / each.name), each.digest, each.base_digest)
                found.setdefault(each.model, {})[each.name] = entry
        for model, held in self._listed.items():
            if held:
                found[model] = {**found.get(model, {}), **held}
        return found
