"""Groups of rows that run together and beside nobody else's, so that they can be repeated."""

from collections.abc import Sequence

from core.engines.batch import MAX_ROWS, Batch
from core.engines.waiting import Row, Waiting


class Sealed:
    """A group of rows with a batch of their own, which shares nothing with earlier ones."""

    def __init__(self, batch: Batch, rows: Sequence[Row]) -> None:
        self.batch = batch
        self.waiting = Waiting(MAX_ROWS)
        for row in rows:
            row.job.caller = ""  # In their own order, whoever asks.
            self.waiting.add(row)

    @property
    def is_running(self) -> bool:
        """Say whether some row has not ended."""
        return bool(self.batch.rows or self.waiting)
