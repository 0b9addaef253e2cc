"""Results in a model card: a local README.md, and a Hub on loopback."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.errors import InputError, StorageError
from evals.card import eval_results, with_results, write_card
from tests.serving import serve

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = {
    "run": "run-1",
    "task": "gala-tools",
    "model": "understudy",
    "n": 200,
    "missing": 1,
    "status": "completed",
    "metrics": {
        "tool_call_strict": {"value": 0.75, "low": 0.68, "high": 0.81, "n": 199},
        "bfcl_ast": {"value": 0.8, "low": None, "high": None, "n": 199},
    },
    "data_digest": "sha256:ab",
    "task_digest": "sha256:cd",
    "grader_version": "3",
    "model_digest": "sha256:ef",
    "adapter_digest": None,
}
CARD = """---
license: mit
tags:
- gala
---
# The understudy

A --- in the text, and `{}`.
"""


def header(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def results(text: str) -> list[dict]:
    (index,) = header(text)["model-index"]
    return index["results"]


def test_a_new_card_holds_what_the_hub_expects(tmp_path):
    write_card(tmp_path / "README.md", [SUMMARY])
    text = (tmp_path / "README.md").read_text()
    (index,) = header(text)["model-index"]
    assert index["name"] == "understudy"
    (result,) = index["results"]
    assert result["task"] == {"type": "text-generation"}
    assert result["dataset"] == {
        "name": "gala-tools",
        "type": "gala-tools",
        "revision": "sha256:ab",
    }
    strict, parity = result["metrics"]
    assert (strict["type"], strict["value"]) == ("tool_call_strict", 0.75)
    assert strict["args"] == {
        "n": 199,
        "low": 0.68,
        "high": 0.81,
        "run": "run-1",
        "missing": 1,
        "task_digest": "sha256:cd",
        "grader_version": "3",
        "model_digest": "sha256:ef",
    }
    assert parity["value"] == 0.8
    assert os.listdir(tmp_path) == ["README.md"]


def test_the_rest_of_a_card_is_kept(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(CARD)
    write_card(path, [SUMMARY])
    text = path.read_text()
    assert text.split("---\n", 2)[2] == CARD.split("---\n", 2)[2]
    assert (header(text)["license"], header(text)["tags"]) == ("mit", ["gala"])


def test_a_second_run_replaces_its_own_results_and_no_others(tmp_path):
    path = tmp_path / "README.md"
    write_card(path, [SUMMARY, {**SUMMARY, "task": "gala-routes", "data_digest": "sha256:01"}])
    better = {"tool_call_strict": {"value": 0.9, "low": 0.85, "high": 0.94, "n": 200}}
    write_card(path, [{**SUMMARY, "run": "run-2", "metrics": better}])
    values = {
        (result["dataset"]["name"], metric["type"]): (metric["value"], metric["args"]["run"])
        for result in results(path.read_text())
        for metric in result["metrics"]
    }
    assert values == {
        ("gala-tools", "tool_call_strict"): (0.9, "run-2"),
        ("gala-tools", "bfcl_ast"): (0.8, "run-1"),
        ("gala-routes", "tool_call_strict"): (0.75, "run-1"),
        ("gala-routes", "bfcl_ast"): (0.8, "run-1"),
    }


def test_results_on_other_data_stand_beside_each_other(tmp_path):
    path = tmp_path / "README.md"
    write_card(path, [SUMMARY])
    write_card(path, [{**SUMMARY, "data_digest": "sha256:02"}])
    assert len(results(path.read_text())) == 2


@pytest.mark.parametrize("status", ["invalid", "stopped", "interrupted", "running", None])
def test_a_run_that_is_not_completed_is_not_published(status, tmp_path):
    with pytest.raises(InputError, match="only a completed run"):
        write_card(tmp_path / "README.md", [{**SUMMARY, "status": status}])
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_metrics_and_no_run_at_all_are_refused():
    with pytest.raises(InputError, match="only a completed run with metrics"):
        eval_results({**SUMMARY, "metrics": {}})
    with pytest.raises(InputError, match="at least one run"):
        with_results(CARD, [])


@pytest.mark.parametrize(
    "text", ["---\n- a list\n---\n", "---\na: [\n---\n", "---\nmodel-index: 3\n---\n"]
)
def test_a_card_with_another_header_is_left_alone(text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(InputError, match="header of the card"):
        write_card(path, [SUMMARY])
    assert path.read_text() == text


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        write_card(tmp_path / "nowhere" / "README.md", [SUMMARY])


class FakeHub:
    """What of the Hub a push of a card uses, over one text."""

    def __init__(self, card: str | None, write_status: int = 200) -> None:
        self.card = card
        self.tokens: set[str | None] = set()
        self._write_status = write_status

    def app(self) -> Starlette:
        api = "/api/models/org/model"
        return Starlette(
            routes=[
                Route("/org/model/resolve/main/README.md", self.read, methods=["GET", "HEAD"]),
                Route("/api/validate-yaml", self.validate, methods=["POST"]),
                Route(f"{api}/preupload/main", self.preupload, methods=["POST"]),
                Route(f"{api}/commit/main", self.commit, methods=["POST"]),
                Route("/{path:path}", self.missing, methods=["GET", "HEAD", "POST"]),
            ]
        )

    def read(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        if self.card is None:
            return Response(status_code=404, headers={"x-error-code": "EntryNotFound"})
        text = self.card.encode()
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        headers = {"x-repo-commit": digest, "etag": f'"{digest}"'}
        return Response(text, headers=headers)

    async def validate(self, request: Request) -> Response:
        content = (await request.json())["content"]
        yaml.safe_load(content.split("---\n")[1])
        return JSONResponse({})

    async def preupload(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        files = (await request.json())["files"]
        modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
        return JSONResponse({"files": modes})

    async def commit(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        if self._write_status != 200:
            return JSONResponse({"error": "no"}, self._write_status)
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        (file,) = [line["value"] for line in lines if line["key"] == "file"]
        self.card = base64.b64decode(file["content"]).decode()
        address = f"{request.base_url}org/model/commit/{'2' * 40}"
        return JSONResponse({"commitUrl": address, "commitOid": "2" * 40})

    def missing(self, request: Request) -> Response:
        return Response(status_code=404, headers={"x-error-code": "RepoNotFound"})


PUSH = """
import json, sys
from core.errors import AppError
from evals.card import push_card
repo, token, *summaries = sys.argv[1:]
try:
    print(json.dumps(push_card(repo, [json.loads(text) for text in summaries], token)))
except AppError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def push(url: str, home: Path, *summaries: dict, repo: str = "org/model", offline: str = "0"):
    """Push in a process of its own: the library reads its settings at import."""
    settings = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": offline, "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", PUSH, repo, "hf_secret", *map(json.dumps, summaries)],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return json.loads(done.stdout)


def test_a_push_keeps_the_card_on_the_hub_and_adds_results(tmp_path):
    hub = FakeHub(CARD)
    with serve(hub.app()) as url:
        assert push(url, tmp_path, SUMMARY) == f"{url}/org/model/commit/{'2' * 40}"
        changed = {**SUMMARY["metrics"]["bfcl_ast"], "value": 0.5}
        push(url, tmp_path, {**SUMMARY, "metrics": {"bfcl_ast": changed}})
    assert hub.card is not None
    assert hub.card.split("---\n", 2)[2] == CARD.split("---\n", 2)[2]
    (result,) = results(hub.card)
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {"tool_call_strict": 0.75, "bfcl_ast": 0.5}
    assert hub.tokens == {"Bearer hf_secret"}


def test_a_model_without_a_card_gets_one(tmp_path):
    hub = FakeHub(None)
    with serve(hub.app()) as url:
        push(url, tmp_path, SUMMARY)
    assert hub.card is not None
    assert len(results(hub.card)) == 1


@pytest.mark.parametrize(
    ("hub", "repo", "summary", "kind", "part"),
    [
        (FakeHub(CARD, 403), "org/model", SUMMARY, "UnavailableError", "HF_TOKEN may write"),
        (FakeHub(CARD), "org/other", SUMMARY, "NotFoundError", "no model 'org/other'"),
        (FakeHub(CARD), "no such name", SUMMARY, "InputError", "does not accept 'no such name'"),
        (FakeHub("---\n- a\n---\n"), "org/model", SUMMARY, "InputError", "header of the card"),
        (
            FakeHub(CARD),
            "org/model",
            {**SUMMARY, "status": "invalid"},
            "InputError",
            "only a completed run",
        ),
    ],
    ids=["forbidden", "missing", "name", "header", "invalid"],
)
def test_what_can_go_wrong_is_one_sentence(tmp_path, hub, repo, summary, kind, part):
    before = hub.card
    with serve(hub.app()) as url:
        found, text = push(url, tmp_path, summary, repo=repo)
    assert (found, hub.card) == (kind, before)
    assert part in text
    assert "hf_secret" not in text


def test_a_hub_out_of_reach_is_not_taken_for_a_model_without_a_card(tmp_path):
    kind, text = push("http://127.0.0.1:9", tmp_path, SUMMARY, offline="1")
    assert kind == "UnavailableError"
    assert "out of reach" in text
