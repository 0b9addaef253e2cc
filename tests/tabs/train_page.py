"""The first steps of the Train tab on a page of nobody's, and who calls their handlers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import yaml
from starlette.requests import Request

from core.access import Access
from core.services import Services
from tabs.pages import Pages, make_pages
from tabs.train_configure import ConfigureCallbacks, build_configure
from tabs.train_data import DataStep
from tabs.train_data_audit import AuditCallbacks, build_audit
from tabs.train_data_bring import BringCallbacks, build_bring
from tabs.train_data_finish import FinishCallbacks, build_finish
from tabs.train_data_review import ReviewCallbacks, build_review
from tabs.train_estimate import EstimateCallbacks, build_estimate
from tabs.train_parts import TrainParts, TrainPlace
from tests import tiny_models
from tests.tabs.conftest import SECRET
from training import errand
from training.errand_folder import finish, read_order
from training.errands import Errands
from training.job_tending import Means
from training.jobs import Jobs
from training.launch import LocalExecutor

LARGE = {"fits": False, "memory_gb": 90.0, "free_gb": 4.0, "advice": ["set rank to 8"]}
UNKNOWN = {"fits": False, "memory_gb": None, "free_gb": 4.0, "advice": ["try rank 8"]}
Row = Mapping[str, object]


class Ended:
    """A process that has ended."""

    def poll(self) -> int:
        return 0


def carried_out(folder: Path) -> Ended:
    """Carry an audit out in this process; of an estimate, say that the run does not fit.

    Of one with a rank of 512, it says that it ran out of memory.
    """
    order = read_order(folder)
    if order.kind == "estimate":
        config = order.arguments["config"]
        assert isinstance(config, dict)
        finish(folder, "done", UNKNOWN if config["rank"] == 512 else LARGE)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNDERSTUDY_HOME", str(folder.parent.parent))
            errand.main([str(folder)])
    return Ended()


def write_catalog(home: Path, model: Path) -> None:
    """Lay one tiny model, `tiny`, over the shipped catalog."""
    entry = {"provider": "local", "path": str(model), "context": tiny_models.CONTEXT}
    catalog = yaml.safe_dump({"models": {"tiny": entry}, "default_model": "tiny"})
    (home / "catalog.yaml").write_text(catalog, encoding="utf-8")


def make_parts(services: Services) -> tuple[Pages, TrainParts]:
    """Return the parts of the tab; no worker is ever started, errands are carried out at once."""
    home = services.settings.home
    pages = make_pages(services, Access(SECRET, admin_token="token", trust_loopback=False))
    executors = {"local": LocalExecutor(home / "runs", "tests.no_worker")}
    means = Means(executors=executors, finish=lambda _: None, start=lambda: None)
    jobs = Jobs(services.store, home, means)
    errands = Errands(services.settings, carried_out)
    return pages, replace(pages.train, jobs=jobs, errands=errands)


class Page:
    """The three steps."""

    def __init__(self, parts: TrainParts) -> None:
        with gr.Blocks():
            self.place = TrainPlace(gr.Tabs(), gr.Tabs(), *(gr.State("") for _ in range(3)))
            self.b = build_bring(parts, self.place)
            self.a = build_audit(parts, self.place)
            self.r = build_review(parts, self.place, self.a)
            self.f = build_finish(parts, self.place, self.a, self.r)
            data = DataStep(self.a.dataset, self.a.model, self.a.max_length, self.f.next)
            self.c = build_configure(parts, self.place, data)
            self.e = build_estimate(parts, self.place, self.c)
        self.bring = BringCallbacks(parts, self.place, self.b)
        self.audit = AuditCallbacks(parts, self.place, self.a)
        self.review = ReviewCallbacks(parts, self.r)
        self.finish = FinishCallbacks(parts, self.place, self.f)
        self.configure = ConfigureCallbacks(parts, self.place, self.c, data)
        self.estimate = EstimateCallbacks(parts, self.place, self.c, self.e)

    def file(self, path: object, name: str = "talk", format: str = "") -> dict[Any, Any]:
        """Return what the form sends for a file."""
        b = self.b
        sent = {b.source: "A file", b.file: path if path is None else str(path)}
        return {**sent, b.format: format, b.kind: "sft", b.name: name}

    def settings(self, **values: object) -> dict[Any, Any]:
        """Return what the form of the settings sends."""
        form = self.c.form
        sent = {form.preset: values.pop("preset", "")}
        sent |= {widget: widget.value for widget in form.entries.values()}
        sent |= {form.entries["model"]: "tiny", form.entries["dataset"]: "talk@v1"}
        return {**sent, **{form.entries[name]: value for name, value in values.items()}}


def request(token: str = "token", query: str = "") -> gr.Request:
    """Return a request of an administrator, or of a visitor who makes up a token."""
    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "headers": headers, "query_string": query.encode()}
    return gr.Request(Request({**scope, "client": ("9.9.9.9", 1)}))


def click(**sent: object) -> gr.EventData:
    """Return an event that a page made up."""
    return gr.EventData(None, sent)


def talk(name: str, asked: str, said: str) -> Row:
    """Return a row in OpenAI's format."""
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"id": name, "messages": turns}


def write_file(path: Path, rows: Sequence[Row | str]) -> Path:
    """Write rows as JSON Lines; a text stands as it is."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
