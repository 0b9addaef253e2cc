"""Which language a text is written in, the same answer each time; langdetect decides."""

from typing import Any

MIN_LETTERS = 24
"""Below that a text says too little about its language."""
MAX_CHARACTERS = 500
"""What is looked at of a text; more takes longer and decides the same."""
UNCLEAR = "unclear"


class Languages:
    """langdetect with a seed of its own: the package's `detect` draws anew each time."""

    def __init__(self) -> None:
        # The package has no type stubs.
        from langdetect import detector_factory  # type: ignore[import-untyped]

        self._factory: Any = detector_factory.DetectorFactory()
        self._factory.load_profile(detector_factory.PROFILES_DIRECTORY)
        self._factory.set_seed(0)

    def of(self, text: str) -> str:
        """Return the language's code as langdetect names it, or `unclear`."""
        from langdetect import LangDetectException

        if sum(c.isalpha() for c in text[:MAX_CHARACTERS]) < MIN_LETTERS:
            return UNCLEAR
        detector = self._factory.create()
        detector.append(text[:MAX_CHARACTERS])
        try:
            found = str(detector.detect())
        except LangDetectException:
            return UNCLEAR
        return UNCLEAR if found == "unknown" else found
