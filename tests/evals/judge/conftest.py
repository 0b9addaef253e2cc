"""A judge on loopback behind the real gateway."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from core.gateway.gateway import Gateway
from core.services import make_services
from core.settings import Settings
from evals.bench import Bench
from evals.judge.asking import Judge, make_judge
from evals.judge.rubric import Rubric
from evals.judge.rubric_files import load_rubric, read_rubric, rubric_folders
from evals.judge.verdicts import VerdictFile
from tests.evals.judge.judge_server import JudgeServer, Opinion, honest
from tests.serving import serve

SMALL = {
    "name": "small",
    "instructions": "Say whether the answer is right and kind.",
    "agreement": 0.8,
    "pass_mark": 0.75,
    "dimensions": [
        {"name": "right", "description": "It is true.", "marks": ["false", "partly", "true"]},
        {"name": "kind", "description": "It is kind.", "marks": ["rude", "cold", "kind"]},
    ],
    "zeros": [{"when": "empty"}],
    "anchors": [
        {"question": "q", "answer": "right and kind, dear", "marks": {"right": 2, "kind": 2}},
        {"question": "q", "answer": "wrong and rude", "marks": {"right": 0, "kind": 0}},
        {"question": "q", "answer": "half right, cold", "marks": {"right": 1, "kind": 1}},
        {"question": "q", "answer": "right but a rude long one", "marks": {"right": 2, "kind": 0}},
        {"question": "q", "answer": "wrong, kind", "marks": {"right": 0, "kind": 2}},
    ],
}


def anchor_truth(rubric: Rubric) -> dict[str, dict[str, int]]:
    return {anchor.answer: dict(anchor.marks) for anchor in rubric.anchors}


@dataclass
class Court:
    """A judge's server, the judge behind the gateway, and its verdicts."""

    server: JudgeServer
    judge: Judge
    gateway: Gateway
    path: Path

    @property
    def verdicts(self) -> VerdictFile:
        return VerdictFile(self.path)


@pytest.fixture
def small(tmp_path: Path) -> Rubric:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return read_rubric(path)


@pytest.fixture
def persona(tmp_path: Path) -> Rubric:
    return load_rubric("persona", rubric_folders(tmp_path))


@pytest.fixture
def factual(tmp_path: Path) -> Rubric:
    return load_rubric("factual", rubric_folders(tmp_path))


@pytest.fixture
def open_court(
    settings: Settings, write_catalog: Callable[..., None], tmp_path: Path
) -> Iterator[Callable[..., Court]]:
    """Return what serves an opinion, and puts the judge `judge` before it."""
    with ExitStack() as stack:

        def start(rubric: Rubric, opinion: Opinion | None = None, **entries: object) -> Court:
            server = JudgeServer(opinion or honest(anchor_truth(rubric)))
            url = stack.enter_context(serve(server.app()))
            entry = {"provider": "endpoint", "base_url": f"{url}/v1", "context": 32000}
            models = {
                "judge": {**entry, "served_model": "judge"},
                "other": {**entry, "served_model": "other"},
                "twin": {**entry, "served_model": "judge"},
            }
            write_catalog(models=models, default_model="judge", **entries)
            services = make_services(settings)
            stack.callback(services.close)
            gateway = Bench.of(services).gateway
            judge = make_judge(gateway, "judge", rubric)
            return Court(server, judge, gateway, tmp_path / "verdicts.jsonl")

        yield start
