import threading
from contextlib import closing
from dataclasses import dataclass

import pytest

from core.catalog_files import load_catalog
from core.chats import ChatOptions, Chats, Frame, Person
from core.errors import GenerationError, InputError, ModelNotAllowedError, NotFoundError
from core.messages import GenerationParams
from core.store import Conversations, open_store
from tests.fakes import ScriptedProvider, gateway_of

ADA, EVE = Person("ada"), Person("eve")
OPTIONS = ChatOptions("m", GenerationParams(max_tokens=20), system="Be kind.")
FAR = {
    "provider": "endpoint",
    "base_url": "http://127.0.0.1:9/v1",
    "served_model": "m",
    "context": 100,
}


@dataclass
class Setup:
    chats: Chats
    conversations: Conversations
    provider: ScriptedProvider

    def said(self, conversation_id: str, person: Person = ADA) -> list[tuple[str, str]]:
        stored = self.conversations.get(person.visitor, conversation_id).messages
        return [(each.message.role, each.message.text) for each in stored]

    def ask(self, text: str, conversation_id: str | None = None) -> str:
        """Return the conversation after the answer."""
        *_, last = self.chats.ask(ADA, conversation_id, OPTIONS, text)
        assert last.is_done
        return last.conversation_id


@pytest.fixture
def setup(settings, write_catalog):
    write_catalog(models={"m": FAR}, default_model="m")
    provider = ScriptedProvider()
    with closing(open_store(settings.database_url)) as store:
        catalog = load_catalog(settings)
        gateway = gateway_of(catalog, store, {"endpoint": provider})
        conversations = Conversations(store)
        yield Setup(Chats(gateway, conversations), conversations, provider)


def test_an_answer_is_kept_with_its_facts(setup):
    first, *_, last = setup.chats.ask(ADA, None, OPTIONS, "Who sits where?")
    assert (first.text, first.is_done) == ("", False)
    assert last == Frame(last.conversation_id, "Good evening.", is_done=True)
    assert setup.said(last.conversation_id) == [
        ("user", "Who sits where?"),
        ("assistant", "Good evening."),
    ]
    stored = setup.conversations.get("ada", last.conversation_id).messages[1]
    assert stored.generation.usage.output_tokens == 3
    sent = setup.provider.calls[0]
    assert [m.role for m in sent.messages] == ["system", "user"]
    assert sent.trim_history


def test_the_next_question_carries_what_came_before_as_corrected(setup):
    conversation = setup.ask("One?")
    answer = setup.conversations.get("ada", conversation).messages[1]
    setup.conversations.correct("ada", answer.id, "Table one.")
    setup.ask("Two?", conversation)
    texts = [m.text for m in setup.provider.calls[1].messages]
    assert texts == ["Be kind.", "One?", "Table one.", "Two?"]


def test_the_question_is_stored_before_the_model_is_called(setup):
    frames = setup.chats.ask(ADA, None, OPTIONS, "Who sits where?")
    conversation = next(frames).conversation_id
    assert setup.provider.calls == []
    assert setup.said(conversation) == [("user", "Who sits where?")]
    assert setup.conversations.get("ada", conversation).unanswered
    frames.close()


def test_an_error_keeps_the_question(setup):
    setup.provider.error = GenerationError("boom")
    frames = setup.chats.ask(ADA, None, OPTIONS, "Who sits where?")
    conversation = next(frames).conversation_id
    with pytest.raises(GenerationError, match="boom"):
        list(frames)
    assert setup.said(conversation) == [("user", "Who sits where?")]
    assert not setup.chats.is_running(conversation)
    setup.provider.error = None
    list(setup.chats.retry(ADA, conversation, OPTIONS))
    assert setup.said(conversation)[1] == ("assistant", "Good evening.")


@pytest.mark.parametrize(
    ("text", "options", "kind"),
    [
        (" \n", OPTIONS, InputError),
        ("x" * 40_000, OPTIONS, InputError),
        ("Hi", ChatOptions("nope", GenerationParams()), ModelNotAllowedError),
    ],
)
def test_what_is_refused_at_once_stores_nothing(setup, text, options, kind):
    with pytest.raises(kind):
        next(setup.chats.ask(ADA, None, options, text))
    assert setup.conversations.list("ada") == ()


def test_closing_the_page_keeps_what_was_said(setup):
    setup.provider.gate = threading.Event()
    frames = setup.chats.ask(ADA, None, OPTIONS, "Who sits where?")
    conversation = next(frames).conversation_id
    assert next(frames).text == "Good "
    frames.close()
    assert setup.said(conversation)[1] == ("assistant", "Good ")
    stored = setup.conversations.get("ada", conversation).messages[1]
    assert stored.generation.finish_reason == "cancelled"
    assert not setup.chats.is_running(conversation)


def test_stop_ends_the_answer_and_keeps_it(setup):
    setup.provider.gate = threading.Event()
    frames = setup.chats.ask(ADA, None, OPTIONS, "Who sits where?")
    conversation = next(frames).conversation_id
    assert setup.chats.is_running(conversation)
    next(frames)
    with pytest.raises(NotFoundError):
        setup.chats.stop(EVE, conversation)
    setup.chats.stop(ADA, conversation)
    *_, last = frames
    assert (last.text, last.is_done) == ("Good ", True)
    assert setup.said(conversation)[1] == ("assistant", "Good ")
    setup.chats.stop(ADA, conversation)


def test_retry_withdraws_and_answers_again(setup):
    conversation = setup.ask("Who sits where?")
    setup.provider.events = ("Table ", "four.")
    list(setup.chats.retry(ADA, conversation, OPTIONS))
    assert setup.said(conversation) == [("user", "Who sits where?"), ("assistant", "Table four.")]
    assert [m.text for m in setup.provider.calls[1].messages] == ["Be kind.", "Who sits where?"]


def test_retry_with_what_is_refused_keeps_the_answer(setup):
    conversation = setup.ask("Who sits where?")
    before = setup.said(conversation)
    with pytest.raises(ModelNotAllowedError):
        list(setup.chats.retry(ADA, conversation, ChatOptions("nope", GenerationParams())))
    assert setup.said(conversation) == before


def test_undo_gives_the_question_back(setup):
    conversation = setup.ask("One?")
    setup.ask("Two?", conversation)
    assert setup.chats.undo(ADA, conversation) == "Two?"
    assert setup.said(conversation) == [("user", "One?"), ("assistant", "Good evening.")]
    assert setup.chats.undo(ADA, conversation) == "One?"
    for act in (setup.chats.undo, lambda *a: list(setup.chats.retry(*a, OPTIONS))):
        with pytest.raises(InputError, match="there is no message to go back to"):
            act(ADA, conversation)


def test_two_answers_at_once_in_one_conversation_are_refused(setup):
    conversation = setup.ask("One?")
    setup.provider.gate = threading.Event()
    frames = setup.chats.ask(ADA, conversation, OPTIONS, "Two?")
    next(frames)
    acts = (
        lambda: next(setup.chats.ask(ADA, conversation, OPTIONS, "Three?")),
        lambda: next(setup.chats.retry(ADA, conversation, OPTIONS)),
        lambda: setup.chats.undo(ADA, conversation),
    )
    for act in acts:
        with pytest.raises(InputError, match="an answer is still being written"):
            act()
    setup.provider.gate.set()
    list(frames)
    assert [text for _, text in setup.said(conversation)] == [
        "One?",
        "Good evening.",
        "Two?",
        "Good evening.",
    ]


def test_two_conversations_are_answered_at_once(setup):
    setup.provider.gate = threading.Event()
    both = [setup.chats.ask(ADA, None, OPTIONS, text) for text in ("One?", "Two?")]
    ids = {next(frames).conversation_id for frames in both}
    assert all(setup.chats.is_running(each) for each in ids)
    setup.provider.gate.set()
    for frames in both:
        list(frames)
    assert len(ids) == 2


def test_another_visitor_finds_nothing_and_disturbs_nobody(setup):
    setup.provider.gate = threading.Event()
    frames = setup.chats.ask(ADA, None, OPTIONS, "One?")
    conversation = next(frames).conversation_id
    acts = (
        lambda: next(setup.chats.ask(EVE, conversation, OPTIONS, "Mine?")),
        lambda: next(setup.chats.retry(EVE, conversation, OPTIONS)),
        lambda: setup.chats.undo(EVE, conversation),
        lambda: setup.chats.stop(EVE, conversation),
    )
    for act in acts:
        with pytest.raises(NotFoundError):
            act()
    setup.provider.gate.set()
    list(frames)
    assert setup.said(conversation) == [("user", "One?"), ("assistant", "Good evening.")]
