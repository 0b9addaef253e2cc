"""One pace for several streams: how much of each is shown, whoever is fast and whoever is slow."""

from collections.abc import Sequence

MOST_CHARACTERS = 60
"""Characters that a frame lets out at most."""
FEWEST_FRAMES = 5
"""Frames that a side must have been seen writing for its own pace to be known, and to be kept."""


class Pace:
    """How many characters of every side are shown, frame after frame."""

    def __init__(self) -> None:
        self.shown = 0
        """Characters of each side that are shown; a shorter side is shown whole."""
        self._frames = 0
        """Since every side had its first words."""
        self._paces: dict[int, float] = {}
        """Mean characters a frame of each side that was seen writing for long enough."""
        self._credit = 0.0

    def advance(self, has: Sequence[int], is_running: Sequence[bool]) -> bool:
        """Go on by one frame and say whether more is shown.

        `has` are the characters that each side has said so far. No more is shown than every
        running side has. Once a side has ended, the others come at the mean pace of the slowest
        side, one character a frame at least: going faster would tell who held them up.
        """
        running = [count for count, runs in zip(has, is_running, strict=True) if runs]
        room, before = min(running, default=max(has)), self.shown
        self._frames += room > 0
        self._measure(has, is_running)
        step = MOST_CHARACTERS
        if len(running) < len(has):
            self._credit += max(1.0, min(self._paces.values(), default=step))
            step = min(step, int(self._credit))
            self._credit %= 1
        self.shown = max(before, min(room, before + step))
        return self.shown > before

    def _measure(self, has: Sequence[int], is_running: Sequence[bool]) -> None:
        """Note how fast each running side has been so far; one that has ended keeps its pace."""
        if self._frames < FEWEST_FRAMES:
            return
        for place, count in enumerate(has):
            if is_running[place]:
                self._paces[place] = count / self._frames
