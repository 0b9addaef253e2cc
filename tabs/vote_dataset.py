"""Votes as training data: an administrator makes a dataset of them and goes on in the Train tab."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlencode

import gradio as gr

from core.access import Access
from core.errors import ForbiddenError
from core.store import Store
from core.store.battle_records import Source
from tabs.bridge import QUIET, caller_of, handler
from tabs.leaderboard_view import one_of
from training.datasets.from_logs import import_source
from training.datasets.from_votes import StoreVotes, Voices

VoteKind = Literal["preference", "sft"]
KINDS: tuple[tuple[str, VoteKind], ...] = (
    ("Preference pairs", "preference"),
    ("Corrected answers", "sft"),
)
VOICES: Mapping[Source, Voices] = {"person": "people", "judge": "judges"}
NAMES: Mapping[tuple[Source, VoteKind], str] = {
    ("person", "preference"): "votes",
    ("person", "sft"): "vote-corrections",
    ("judge", "preference"): "judge-votes",
    ("judge", "sft"): "judge-vote-corrections",
}
"""What the dataset is called; each press adds a version of what the votes are by then."""
GO = """
(place) => {
  const theme = new URLSearchParams(location.search).get('__theme');
  location.assign(place + (theme ? '&__theme=' + encodeURIComponent(theme) : ''));
}
"""


@dataclass(frozen=True, slots=True)
class DatasetParts:
    """What making a dataset works with."""

    store: Store
    access: Access
    home: Path

    def is_admin(self, request: gr.Request) -> bool:
        """Return whether the caller may make datasets."""
        return caller_of(self.access, request).is_admin


def build_dataset(parts: DatasetParts, source: gr.Radio, section: gr.Tab) -> None:
    """Lay the row out, hidden until an administrator is known to look; `source`: whose votes."""
    with gr.Row(visible=False, elem_id="votes-dataset") as row:
        chosen = gr.Dropdown(
            list(KINDS), value="preference", show_label=False, container=False, min_width=220,
            label="What of the votes", elem_id="votes-kind",
        )  # fmt: skip
        use = gr.Button("Use as dataset", size="sm", min_width=130, elem_id="votes-use")
    place = gr.Textbox(visible=False)

    def on_open(request: gr.Request) -> Any:
        return gr.update(visible=parts.is_admin(request))

    def on_use(asked: object, whose: object, request: gr.Request) -> str:
        """Make a version of the votes as they are now; return where the Train tab shows it."""
        if not parts.is_admin(request):
            raise ForbiddenError("only an administrator may make a dataset of votes")
        voice = one_of(whose, get_args(Source), "source")
        kind = one_of(asked, get_args(VoteKind), "kind")
        found = StoreVotes(parts.store, kind, VOICES[voice])
        report = import_source(parts.home, NAMES[voice, kind], found)
        return f"?{urlencode({'train': 'data', 'dataset': report.version.reference})}"

    section.select(handler(on_open), None, row, **QUIET, api_name="votes_dataset_open")
    use.click(
        handler(on_use), [chosen, source], place, **QUIET, trigger_mode="once",
        api_name="votes_dataset",
    ).success(None, place, None, js=GO, api_name="votes_dataset_go")  # fmt: skip
