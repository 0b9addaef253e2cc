"""Mends how Gradio 6.31 sends the updates of a stream."""

from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction


class Page(gr.Blocks):
    """`gr.Blocks` whose streams lose no update, however slow the browser.

    Each update of a stream but the first is sent as edits, and Gradio's script makes them in the
    very object that the update before is still being read from. An edit that takes a property
    away, as `visible` once it is said, so takes it from a page that has not seen it yet.
    """

    def handle_streaming_diffs(  # noqa: PLR0913  Gradio's signature
        self,
        block_fn: BlockFunction,
        data: list[Any],
        session_hash: str | None,
        run: str | None,
        final: bool,
        simple_format: bool = False,
    ) -> list[Any]:
        """Return the edits of an update; where one would take a property away, all of it anew."""
        whole = list(data)
        is_first = run not in self.pending_diff_streams.get(session_hash, {})
        sent = super().handle_streaming_diffs(
            block_fn, data, session_hash, run, final, simple_format
        )
        if is_first or final or simple_format:
            return sent
        return [
            [["replace", [], value]] if any(map(_takes_away, edits)) else edits
            for edits, value in zip(sent, whole, strict=True)
        ]


def _takes_away(edit: tuple[str, list[object], object]) -> bool:
    """Return whether an edit deletes a property of the update itself."""
    action, path, _ = edit
    return action == "delete" and len(path) == 1
