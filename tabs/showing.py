"""Show and hide parts of a page by a class, where `visible` is not to be relied on.

With Gradio 6.31 a component that starts with `visible=False` is not in the page, and is brought in
by its first `visible=True`. When the next update of a stream comes while that happens, it may
never be shown, more often the slower the browser. What is in the page from the start and only
changes its class does not go that way.
"""

from typing import Any

import gradio as gr

OFF = "off"
"""Class of what is not shown."""


def shown(**changes: Any) -> dict[str, Any]:
    """Return the update that shows a component built with the class `OFF`, and changes it."""
    return gr.update(elem_classes=[], **changes)


def hidden(**changes: Any) -> dict[str, Any]:
    """Return the update that hides a component without other classes, and changes it."""
    return gr.update(elem_classes=[OFF], **changes)
