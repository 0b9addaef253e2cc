"""A server that does not count tokens: unknown stays unknown wherever an answer goes."""

from dataclasses import replace

import pytest

from core.messages import GenerationParams, GenerationRequest, Message, Usage
from core.openai_answers import ChunkWriter, completion
from core.store.records import generation_from_facts
from tabs.chat_view import facts_line
from tests.fakes import generation_of


@pytest.fixture(params=[Usage(None, None), Usage(5, None)])
def generation(request):
    asked = GenerationRequest("m", (Message("user", "Hi"),), GenerationParams(), "me")
    return replace(generation_of(asked, "Hello"), usage=request.param)


def test_in_the_store(generation):
    read = generation_from_facts(generation.facts(), Message("assistant", "Hello"))
    assert read == generation


def test_for_clients_of_the_api(generation):
    assert completion(generation)["usage"] is None
    chunks = ChunkWriter("m", has_usage=True).end(generation)
    assert b'"prompt_tokens"' not in chunks
    assert chunks.endswith(b"data: [DONE]\n\n")


def test_for_people(generation):
    known = generation.usage.input_tokens
    assert f"{known or 'unknown'} in, unknown out" in facts_line(generation)
