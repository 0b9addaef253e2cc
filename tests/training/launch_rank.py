"""A rank of several that train together: notes the world's size, and saves when it is told to."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

folder, rank = Path(sys.argv[1]), os.environ["RANK"]


def save(_number: int, _frame: FrameType | None) -> None:
    time.sleep(0.2)
    (folder / f"saved-{rank}").touch()
    sys.exit(0)


signal.signal(signal.SIGTERM, save)
(folder / f"rank-{rank}").write_text(os.environ["WORLD_SIZE"])
while True:
    time.sleep(0.1)
