"""One run while it is carried out: what is still to be asked, and what becomes of the answers."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from core.errors import InputError
from evals.answer_rows import Ask
from evals.bench import Bench
from evals.grade_stage import Graded
from evals.graders import grader_version, is_judged, make_grader
from evals.lock import held
from evals.manifest import Key
from evals.plan import by_prefix
from evals.planned import Planned
from evals.progress import Count, Watch
from evals.run_files import RunFolder, Writer, drop_partial_units, last_rows
from evals.run_rows import Row
from evals.summary import summarise


class Session:
    """A run held by this process, as a context."""

    def __init__(self, bench: Bench, folder: RunFolder, watch: Watch, count: Count) -> None:
        self.manifest = folder.manifest()
        self._bench = bench
        self._folder = folder
        self._watch = watch
        self._count = count
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._planned = Planned.of(bench.home, self.manifest, watch.stop)
        self._task, self._samples = self._planned.task, self._planned.samples

    def __enter__(self) -> Self:
        """Lock the run, mend what a kill left, and begin to grade what is there.

        Raises:
            InputError: another process carries it out.
            StorageError: its files can't be read or written.
        """
        with ExitStack() as stack:
            stack.enter_context(held(self._folder.path))
            drop_partial_units(self._folder, self.manifest.units)
            self._writer = Writer(self._folder)
            stack.callback(self._writer.close)
            self._rows = last_rows(self._folder.rows())
            self._grader = make_grader(self._bench, self._task, self._samples, self._folder)
            stack.callback(self._grader.close)
            self._open = stack.pop_all()
        kept = self._kept()
        for key in self.manifest.keys:
            if key in kept:
                self._grader.add(self._rows[key])
        self._count.plan(len(self.manifest.keys), len(kept))
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Let go of the run."""
        self._open.close()

    def begin(self) -> None:
        """Take away the result of an earlier session: until this one ends there is none."""
        self._folder.clear_summary()

    def asks(self) -> list[Ask]:
        """Return what is still to be asked, in the best order for a batching engine."""
        kept = self._kept()
        keys = [key for key in self.manifest.keys if key not in kept]
        return [self._ask(key) for key in by_prefix(keys, self._samples)]

    def units(self) -> list[list[Ask]]:
        """Return the planned batches that are not whole, in order; each is asked for whole."""
        kept = self._kept()
        return [
            [self._ask(key) for key in unit]
            for unit in self.manifest.units
            if not kept.issuperset(unit)
        ]

    def take(self, pairs: Sequence[tuple[Ask, Row]]) -> None:
        """Write what ended together, then have it graded.

        Raises:
            InputError: other weights have answered than the run began with.
            StorageError: the disk is full or gone.
        """
        rows = [row for _, row in pairs]
        for row in rows:
            self._check_weights(row)
        self._writer.append(rows)
        with self._lock:
            self._rows.update((row.key, row) for row in rows)
        for row in rows:
            self._grader.add(row)
        answered = [row for row in rows if row.status == "ok"]
        tokens = sum(row.output_tokens or 0 for row in answered if row.cache != "hit")
        self._count.add(len(answered), len(rows) - len(answered), tokens)

    def finish(self, ending: str | None) -> dict[str, Any]:
        """Grade the rest, write grades and summary, and return the summary.

        A judge is not asked about a run that was stopped: that is work, too.

        Raises:
            ScoringError: the judge does not agree with its anchors, so there are no grades.
            StorageError: the run's files can't be written.
        """
        is_left = ending == "stopped" and is_judged(self._task)
        graded = Graded((), {}) if is_left else self._grader.finish(self.manifest)
        self._folder.write_grades(graded.grades)
        version = grader_version(self._bench, self._task, self.manifest)
        manifest = replace(self.manifest, grader_version=version)
        summary = summarise(manifest, self._task, self._rows, graded, ending=ending)
        self._folder.write_summary(summary)
        return summary

    def _kept(self) -> set[Key]:
        """Return what need not be asked again."""
        if self.manifest.plan is not None:
            return {key for key, row in self._rows.items() if row.is_settled}
        return {key for key, row in self._rows.items() if row.status == "ok"}

    def _ask(self, key: Key) -> Ask:
        earlier = self._rows.get(key)
        return self._planned.ask(key, 1 if earlier is None else earlier.attempt + 1)

    def _check_weights(self, row: Row) -> None:
        for ref, wanted in (
            (row.model, self.manifest.model_digest),
            (row.adapter, self.manifest.adapter_digest),
        ):
            found = ref.get("digest") if ref else None
            if wanted is not None and found is not None and found != wanted:
                raise InputError(
                    f"{self.manifest.model!r} has changed during the run: it began with {wanted} "
                    f"and now {found} answers; start a new run"
                )
