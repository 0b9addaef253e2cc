"""Train tab: from a file of examples to a version that chat can use, in six steps."""

import gradio as gr
from gradio.blocks import Block

from tabs.bridge import QUIET, handler
from tabs.train_configure import build_configure
from tabs.train_data import build_data
from tabs.train_estimate import build_estimate
from tabs.train_parts import TrainParts, TrainPlace, Update
from tabs.train_result import build_result
from tabs.train_run import build_run
from tabs.train_version import build_version

TAB = "train"
STEPS = ("data", "configure", "estimate", "run", "result", "version")
LINKS = {"run": "run", "dataset": "data"}
"""Which step an address opens that names no step but one of these."""
NOTE = (
    "### Training is an administrator's\n"
    "Here an administrator brings examples, audits them, starts runs and keeps the versions that "
    "Chat can use. Sign in at the top of the page to see it. With the files at hand, "
    "`python -m training --help` does the same in a terminal."
)
PLACE = """
(dataset) => {
  const before = new URLSearchParams(location.search);
  const place = new URLSearchParams({train: '%s'});
  const kept = {dataset: dataset || before.get('dataset'), __theme: before.get('__theme')};
  for (const [name, value] of Object.entries(kept)) if (value) place.set(name, value);
  history.replaceState(history.state, '', '?' + place);
}
"""
"""The address follows the step, so that a reload opens it again."""


def build_train_tab(parts: TrainParts, tabs: gr.Tabs) -> None:
    """Lay out the tab inside the current `gr.Blocks` and wire its events."""
    note = gr.Markdown(NOTE, elem_id="train-note")
    # Tabs count their children, and a state among them would take a tab's place.
    dataset, config, run = gr.State(""), gr.State(""), gr.State("")
    with gr.Column(visible=False, elem_id="train") as walk, gr.Tabs(elem_id="train-steps") as steps:
        place = TrainPlace(tabs, steps, dataset, config, run)
        shown = {}
        with gr.Tab("Data", id="data") as shown["data"]:
            data = build_data(parts, place)
        with gr.Tab("Configure", id="configure") as shown["configure"]:
            configure = build_configure(parts, place, data)
        with gr.Tab("Estimate", id="estimate") as shown["estimate"]:
            build_estimate(parts, place, configure)
        with gr.Tab("Run", id="run") as shown["run"]:
            build_run(parts, place)
        with gr.Tab("Result", id="result") as shown["result"]:
            build_result(parts, place)
        with gr.Tab("Version", id="version") as shown["version"]:
            build_version(parts, place)
    for name in ("data", "configure", "estimate"):
        shown[name].select(
            None, data.dataset, None, js=PLACE % name, api_name=f"train_place_{name}"
        )
    _wire(parts, place, note, walk)


def _wire(parts: TrainParts, place: TrainPlace, note: gr.Markdown, walk: gr.Column) -> None:
    def on_load(request: gr.Request) -> Update:
        is_admin = parts.is_admin(request)
        roles: Update = {note: gr.update(visible=not is_admin), walk: gr.update(visible=is_admin)}
        return {**roles, **opened(dict(request.query_params), place)}

    outputs: list[Block] = [note, walk, place.tabs, place.steps]
    gr.on(None, handler(on_load), None, outputs, **QUIET, api_name="train_load")


def opened(params: dict[str, str], place: TrainPlace) -> Update:
    """Return which tab and step an address opens; nothing when it names none."""
    step = params.get("train") or next((LINKS[name] for name in LINKS if name in params), None)
    if step is None:
        return {}
    step = step if step in STEPS else STEPS[0]
    return {place.tabs: gr.Tabs(selected=TAB), place.steps: gr.Tabs(selected=step)}
