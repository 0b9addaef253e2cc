"""One of several processes that train together: refuses to train in a world of another size.

`python -m training.launch.rank WORKER FOLDER COUNT`, started by torchrun. A launcher that starts
one process where several were asked for would train something else without a word.
"""

import os
import runpy
import sys
from collections.abc import Mapping

from core.errors import TrainingError


def check_world(environment: Mapping[str, str], count: int) -> None:
    """Compare the size of the world with the one asked for.

    Raises:
        TrainingError: it is another one, or not told.
    """
    told = environment.get("WORLD_SIZE")
    if told != str(count):
        raise TrainingError(
            f"{count} processes were to train together and the launcher says WORLD_SIZE is "
            f"{told!r}; start the run with as many processes as there are GPUs"
        )


def main() -> None:
    """Check the world, then do what the worker does."""
    worker, folder, count = sys.argv[1:]
    check_world(os.environ, int(count))
    sys.argv = [worker, folder]
    runpy.run_module(worker, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
