"""Links that open a section of the Compare tab: `?battle`, `?ratings` and `?experiment=NAME`."""

from typing import Any

import gradio as gr

from tabs.bridge import QUIET, handler

TAB = "compare"
SECTIONS = {"battle": "battle", "ratings": "ratings", "experiment": "experiments"}
"""Parameter of an address to the section that it opens."""


def build_vote_links(tabs: gr.Tabs, sections: gr.Tabs) -> None:
    """Open what the page's address names; `sections` are those within the tab `compare`."""

    def on_load(request: gr.Request) -> tuple[Any, Any]:
        asked = [SECTIONS[name] for name in SECTIONS if name in request.query_params]
        if not asked:
            return gr.skip(), gr.skip()
        return gr.update(selected=TAB), gr.update(selected=asked[0])

    gr.on(
        None, handler(on_load), None, [tabs, sections], **QUIET, api_name="vote_links",
    )  # fmt: skip
