"""The real app as people start it: its process, its port, its answers."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import openai
import pytest

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "a-token-for-tests"
HTML = {"accept": "text/html"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(home, **environment):
    """Start `python app.py`, wait until it answers, and yield its address and process."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "UNDERSTUDY_HOME": str(home), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/health").status_code == 200:
                    break
            assert process.poll() is None, "the app ended at its start"
            time.sleep(0.1)
        yield address, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with running(tmp_path_factory.mktemp("home"), UNDERSTUDY_ADMIN_TOKEN=TOKEN) as (address, _):
        yield address


def start(home, *arguments, **environment):
    """Run the app expecting it to refuse; return the finished process."""
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "UNDERSTUDY_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_health_is_json_on_the_port_of_the_pages(app):
    answer = httpx.get(f"{app}/health")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["status"] == "ok"
    assert httpx.get(f"{app}/").headers["content-type"].startswith("text/html")


def test_documentation_routes_are_closed(app):
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert "swagger" not in httpx.get(f"{app}{path}").text.lower()


def test_the_official_client_gets_whole_and_streamed_answers(app):
    client = openai.OpenAI(base_url=f"{app}/v1", api_key="unused", max_retries=0)
    messages = [{"role": "user", "content": "Good evening"}]
    whole = client.chat.completions.create(model="lead", messages=messages)
    assert whole.usage.completion_tokens > 0
    assert whole.understudy["model"]["digest"].startswith("sha256:")
    chunks = list(client.chat.completions.create(model="lead", messages=messages, stream=True))
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert streamed == (whole.choices[0].message.content or "")


def test_the_models_are_listed_with_what_they_need(app):
    client = openai.OpenAI(base_url=f"{app}/v1", api_key="unused")
    found = {model.id: model.understudy for model in client.models.list().data}
    assert found["lead"]["ready"]
    groq = found["groq-llama-3.3-70b"]
    assert (groq["ready"], groq["reason"]) == (False, "needs GROQ_API_KEY")
    assert groq["left_today"] == "about 100% of 1,000 requests a day"
    assert "per million tokens" in groq["price"]
    assert found["groq-then-lead"]["ready"], "a chain is ready when one of its models is"


def test_a_model_outside_the_catalog_is_refused_before_any_work(app):
    body = {"model": "../../etc", "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(f"{app}/v1/chat/completions", json=body)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "MODEL_NOT_ALLOWED"


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(app):
    body = {"model": "lead", "messages": [{"role": "user", "content": "table " * 3000}]}
    answer = httpx.post(f"{app}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 400
    assert "1024" in answer.json()["error"]["message"]


def test_only_an_admin_starts_a_download(app):
    body = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(f"{app}/v1/chat/completions", json=body)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"
    asked = {"authorization": "Bearer wrong"}
    answer = httpx.post(f"{app}/v1/chat/completions", json=body, headers=asked)
    assert answer.status_code in (401, 403)


def test_exports_belong_to_the_cookie(app):
    assert httpx.get(f"{app}/conversations/export").status_code == 403
    with httpx.Client() as visitor:
        visitor.get(f"{app}/", headers=HTML)
        answer = visitor.get(f"{app}/conversations/export")
        assert answer.status_code == 200
        assert "attachment" in answer.headers["content-disposition"]
        forged = visitor.get(f"{app}/conversations/export", params={"id": "0" * 32})
        assert forged.status_code == 404


def test_a_space_is_json_too_and_says_that_storage_is_lost(tmp_path):
    space = {"SPACE_ID": "someone/understudy", "GRADIO_SSR_MODE": "True"}
    with running(tmp_path, **space) as (address, _):
        answer = httpx.get(f"{address}/health")
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json()["checks"]["storage_is_persistent"] is False


def test_a_taken_port_is_one_line(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = start(tmp_path, "--port", port)
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert port in done.stderr
    assert "--port" in done.stderr


def test_a_newer_database_is_one_line_and_is_left_alone(tmp_path):
    assert start(tmp_path, "--help").returncode == 0
    with running(tmp_path):
        pass
    database = sqlite3.connect(tmp_path / "understudy.db")
    database.execute("INSERT INTO schema_version SELECT 999, MAX(applied_at) FROM schema_version")
    database.commit()
    database.close()
    done = start(tmp_path)
    assert done.returncode == 2
    assert "999" in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_a_broken_catalog_is_one_line(tmp_path):
    (tmp_path / "catalog.yaml").write_text("models: {lead: {contxt: 5}}", encoding="utf-8")
    done = start(tmp_path)
    assert done.returncode == 2
    assert "contxt" in done.stderr
    assert "did you mean 'context'" in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_killed_while_answering_the_store_opens_again(tmp_path):
    body = {
        "model": "understudy",
        "messages": [{"role": "user", "content": "Tell me about the music."}],
        "stream": True,
    }
    with (
        running(tmp_path) as (address, process),
        httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as answer,
    ):
        next(answer.iter_lines())
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(
        [sys.executable, "-m", "core", "traces", "list", "--json"],
        cwd=ROOT,
        env={**os.environ, "UNDERSTUDY_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    statuses = [trace["status"] for trace in json.loads(done.stdout)["traces"]]
    assert statuses in (["interrupted"], ["ok"])
