"""One pace for several streams: how much of each is shown, whoever is fast and whoever is slow."""

from collections.abc import Sequence

MOST_CHARACTERS = 60
"""Characters that a frame lets out at most."""


class Pace:
    """How many characters of every side are shown, frame after frame."""

    def __init__(self) -> None:
        self.shown = 0
        """Characters of each side that are shown; a shorter side is shown whole."""
        self._frames = 0
        self._credit = 0.0

    def advance(self, has: Sequence[int], is_running: Sequence[bool]) -> bool:
        """Go on by one frame and say whether more is shown.

        `has` are the characters that each side has said so far. No more is shown than every
        running side has. Once a side has ended the others keep the mean pace there was until
        then, one character a frame at least: going faster would tell who held them up.
        """
        running = [count for count, runs in zip(has, is_running, strict=True) if runs]
        room, before = min(running, default=max(has)), self.shown
        step = MOST_CHARACTERS
        if self._frames and len(running) < len(has):
            self._credit += max(1.0, before / self._frames)
            step = min(step, int(self._credit))
            self._credit %= 1
        self.shown = max(before, min(room, before + step))
        self._frames += self.shown > 0
        return self.shown > before
