"""The page's theme and header."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from core.access import Access
from core.settings import PROJECT
from tabs.bridge import QUIET, caller_of

CURTAIN = gr.themes.Color(
    c50="#fbf1f1",
    c100="#f6dfe0",
    c200="#eec5c8",
    c300="#f0a3ab",
    c400="#cf6672",
    c500="#8a1c2b",
    c600="#791726",
    c700="#66131f",
    c800="#541420",
    c900="#43131b",
    c950="#2b0a0e",
)
"""The red of a stage curtain."""
SANS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

THEME = gr.themes.Base(
    primary_hue=CURTAIN,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=SANS,
    font_mono=MONO,
).set(
    body_background_fill="#f6f4f0",
    body_background_fill_dark="#171514",
    body_text_color="#1d1b19",
    body_text_color_dark="#f1eeea",
    body_text_color_subdued="#615c56",
    body_text_color_subdued_dark="#aca59d",
    background_fill_primary="#fffefc",
    background_fill_primary_dark="#221f1d",
    background_fill_secondary="#efece6",
    background_fill_secondary_dark="#2b2725",
    block_background_fill="#fffefc",
    block_background_fill_dark="#221f1d",
    block_border_color="#dcd6cc",
    block_border_color_dark="#3b3633",
    block_label_text_color="#615c56",
    block_label_text_color_dark="#aca59d",
    block_title_text_color="#615c56",
    block_title_text_color_dark="#aca59d",
    border_color_primary="#dcd6cc",
    border_color_primary_dark="#3b3633",
    input_background_fill="#fffefc",
    input_background_fill_dark="#1c1918",
    input_border_color="#b9b1a5",
    input_border_color_dark="#57504b",
    input_placeholder_color="#6f6962",
    input_placeholder_color_dark="#9c958d",
    button_primary_background_fill="#8a1c2b",
    button_primary_background_fill_hover="#6f1522",
    button_primary_background_fill_dark="#f0a3ab",
    button_primary_background_fill_hover_dark="#f6bdc3",
    button_primary_text_color="#ffffff",
    button_primary_text_color_dark="#2b0a0e",
    button_secondary_background_fill="#fffefc",
    button_secondary_background_fill_hover="#efece6",
    button_secondary_background_fill_dark="#2b2725",
    button_secondary_background_fill_hover_dark="#3b3633",
    button_secondary_text_color="#1d1b19",
    button_secondary_text_color_dark="#f1eeea",
    button_secondary_border_color="#b9b1a5",
    button_secondary_border_color_dark="#57504b",
    link_text_color="#8a1c2b",
    link_text_color_dark="#f0a3ab",
    color_accent_soft="#f6e7e4",
    color_accent_soft_dark="#3d2226",
    border_color_accent_subdued="#ead0cd",
    border_color_accent_subdued_dark="#58303a",
)

MAX_UPLOAD_BYTES = 20 * 2**20
"""Of one file that a browser sends."""
LOOK: Mapping[str, Any] = {
    "theme": THEME,
    "css_paths": PROJECT / "assets" / "style.css",
    "footer_links": [],
    "ssr_mode": False,
    "run_history": False,
    "max_file_size": MAX_UPLOAD_BYTES,
}
"""What a launch must be given for the page to look and work so."""
UNCOUNTED = ("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
"""Variable of the environment, and its value. Without it Gradio 6.31 sums up its last 10,000 events
after each event, for a page that we don't show: 50 to 80 ms of processor time each."""


def build_header(access: Access) -> None:
    """Lay out the name, the promise, and who the caller is where that matters."""
    with gr.Row(elem_id="header"):
        gr.Markdown("# Understudy", elem_id="wordmark")
        gr.Markdown("Can a small model you own stand in for the big one?", elem_id="promise")
        role = gr.Button("Sign in", link="login", size="sm", elem_id="role", visible=False)

    def on_load(request: gr.Request) -> dict[str, Any]:
        is_admin = caller_of(access, request).is_admin
        name = "You are admin" if is_admin else "Sign in"
        return gr.update(value=name, visible=is_admin or access.has_admin_token)

    gr.on(None, on_load, None, role, **QUIET, api_name="role")
