"""The page's theme and header."""

import gradio as gr

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.emerald,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "SFMono-Regular", "monospace"],
)


def build_header() -> None:
    """Lay out the name and the promise of the page."""
    with gr.Row(elem_id="header"):
        gr.Markdown("# Understudy", elem_id="wordmark")
        gr.Markdown("Can a small model you own stand in for the big one?", elem_id="promise")
        gr.Markdown("[Sign in as admin](login)", elem_id="signin")
