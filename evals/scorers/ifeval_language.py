"""Which language an answer is written in, as IFEval's detector sees it, the same each time."""

import threading
from pathlib import Path
from typing import Any

MAX_CHARACTERS = 100_000
"""What the detector is given at most; it looks at the first 10,000 after addresses are cut."""


class Languages:
    """langdetect with a fixed seed and its own profiles; any thread may ask.

    The package's `detect` draws another sample of the text each time, and loads its profiles
    into a module variable without a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._factory: Any = None

    def of(self, text: str) -> str | None:
        """Return the language's code as langdetect names it; None for a text without words.

        The code is "unknown" where no language reaches a probability of 0.1.
        """
        # The package has no type stubs.
        from langdetect import LangDetectException  # type: ignore[import-untyped]

        detector = self._loaded().create()
        detector.append(text[:MAX_CHARACTERS])
        try:
            return str(detector.detect())
        except LangDetectException:
            return None

    def _loaded(self) -> Any:
        with self._lock:
            if self._factory is None:
                self._factory = _factory()
            return self._factory


def _factory() -> Any:
    """Read the profiles in the order of their names, so that sums don't depend on the disk."""
    from langdetect import detector_factory

    factory = detector_factory.DetectorFactory()
    paths = sorted(Path(detector_factory.PROFILES_DIRECTORY).iterdir())
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in paths])
    factory.set_seed(0)
    return factory
