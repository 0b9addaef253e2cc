import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError as ClientError

from core.errors import GenerationError, UnavailableError
from tests.tabs.conftest import SlowGateway, Stage

pytestmark = [
    # Gradio's server and client leave their event loops to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FIRST, LAST = {"values": "lead"}, "param_8"
"""Parameters of the chat: the model comes first, the message last."""


@pytest.fixture(autouse=True)
def fresh_gateway(stage: Stage) -> SlowGateway:
    """Give the gateway its defaults back."""
    stage.gateway.__init__()
    return stage.gateway


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    """Open the page as a new visitor."""
    visitor = Client(stage.url, verbose=False, headers=stage.cookie())
    yield visitor
    visitor.close()


def ask(client: Client, text: str) -> dict:
    """Send a message; return the conversation as the page shows it."""
    return client.predict(**{**FIRST, "param_5": None, LAST: text}, api_name="/chat")[0]


def texts(conversation: dict) -> list[str]:
    """Return what was said, without tool calls and figures."""
    said = [
        entry for entry in conversation["value"] if not (entry.get("metadata") or {}).get("title")
    ]
    return ["".join(part["text"] for part in entry["content"]).strip() for entry in said]


def test_it_streams_and_keeps(client: Client, stage: Stage) -> None:
    job = client.submit(**{**FIRST, "param_5": None, LAST: "Good day"}, api_name="/chat")
    assert texts(job.result()[0]) == ["Good day", "w0 w1 w2"]
    assert len(job.outputs()) >= 2
    listed = client.predict(api_name="/load")[2]["choices"]
    assert [title for title, _ in listed] == ["Good day"]


def test_what_is_sent_to_the_model_is_the_stored_history(client: Client, stage: Stage) -> None:
    ask(client, "first")
    ask(client, "second")
    sent = [(m.role, m.text) for m in stage.gateway.requests[-1].messages if m.role != "system"]
    assert sent == [("user", "first"), ("assistant", "w0 w1 w2 "), ("user", "second")]


def test_two_visitors_share_nothing(client: Client, stage: Stage) -> None:
    ask(client, "mine")
    other = Client(stage.url, verbose=False, headers=stage.cookie())
    assert texts(ask(other, "yours")) == ["yours", "w0 w1 w2"]
    sent = stage.gateway.requests[-1]
    assert "mine" not in [message.text for message in sent.messages]
    assert stage.gateway.requests[0].caller != sent.caller
    other.close()


def test_an_error_reaches_the_visitor(client: Client, stage: Stage) -> None:
    stage.gateway.refusal = UnavailableError("'groq' needs GROQ_API_KEY")
    with pytest.raises(ClientError, match="'groq' needs GROQ_API_KEY"):
        ask(client, "hello")


def test_a_bug_stays_a_bug(client: Client, stage: Stage) -> None:
    stage.gateway.failure = RuntimeError("secret /srv/understudy.db")
    with pytest.raises(ClientError) as caught:
        ask(client, "hello")
    assert "secret" not in str(caught.value)


def test_a_question_without_an_answer_is_kept_and_the_page_says_why(
    client: Client, stage: Stage
) -> None:
    stage.gateway.failure = GenerationError("out of memory")
    job = client.submit(**{**FIRST, "param_5": None, LAST: "hello"}, api_name="/chat")
    with pytest.raises(ClientError, match="Out of memory"):
        job.result()
    page = job.outputs()[-1]
    assert texts(page[0]) == ["hello"]
    assert "No answer: out of memory." in str(page[-1])


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_message_is_refused(client: Client, text: str) -> None:
    with pytest.raises(ClientError, match="Write a message first"):
        ask(client, text)


def test_stop_ends_it_within_a_token_and_keeps_what_came(client: Client, stage: Stage) -> None:
    stage.gateway.words, stage.gateway.pause_s = 100_000, 0.02
    job = client.submit(**{**FIRST, "param_5": None, LAST: "go on"}, api_name="/chat")
    while stage.gateway.said < 3:
        pass
    client.predict(api_name="/stop")
    at_stop = stage.gateway.said
    assert stage.gateway.ended.wait(10)
    assert stage.gateway.said <= at_stop + 1
    assert texts(job.result()[0])[1].startswith("w0 w1 w2")


def test_while_an_answer_is_written_another_is_refused(client: Client, stage: Stage) -> None:
    stage.gateway.words, stage.gateway.pause_s = 100_000, 0.02
    job = client.submit(**{**FIRST, "param_5": None, LAST: "go on"}, api_name="/chat")
    while stage.gateway.said < 2:
        pass
    with pytest.raises(ClientError, match="still being written"):
        ask(client, "me too")
    client.predict(api_name="/stop")
    assert texts(job.result()[0])[0] == "go on"


def test_undo_gives_the_question_back(client: Client) -> None:
    ask(client, "first")
    ask(client, "second")
    page = client.predict(api_name="/undo")
    assert texts(page[0]) == ["first", "w0 w1 w2"]
    assert page[1]["value"] == "second"


def test_a_corrected_answer_is_what_the_model_sees_next(client: Client, stage: Stage) -> None:
    ask(client, "first")
    client.predict(api_name="/edit")
    page = client.predict("", "the right answer", api_name="/judge")
    assert "the right answer" in texts(page[0])
    ask(client, "second")
    assert "the right answer" in [m.text for m in stage.gateway.requests[-1].messages]


def post(stage: Stage, name: str, data: list[object], headers: dict[str, str]) -> str:
    """Call an event over plain HTTP; return its stream of results."""
    request = urllib.request.Request(
        f"{stage.url}gradio_api/call/{name}",
        json.dumps({"data": data}).encode(),
        {"content-type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        event = json.load(answer)["event_id"]
    follow = urllib.request.Request(f"{stage.url}gradio_api/call/{name}/{event}", headers=headers)
    with urllib.request.urlopen(follow, timeout=30) as stream:
        return stream.read().decode()


@pytest.mark.parametrize("forged", ["0" * 32, "../../etc/passwd", "' OR 1=1 --"])
def test_a_made_up_conversation_is_refused(stage: Stage, forged: str) -> None:
    assert "event: error" in post(stage, "open", [None, forged], stage.cookie())


def test_a_foreign_conversation_is_refused(client: Client, stage: Stage) -> None:
    ask(client, "private words")
    chats = stage.services.conversations
    found = chats.list(stage.gateway.requests[-1].caller)[0].id
    result = post(stage, "open", [None, found], stage.cookie())
    assert "event: error" in result
    assert "private words" not in result
