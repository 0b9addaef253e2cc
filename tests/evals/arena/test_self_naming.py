"""Answers that tell which model wrote them, and those that only sound like it."""

import pytest

from core.catalog_files import load_catalog
from evals.arena.self_naming import names_itself

TOLD = [
    ("lead", "I am Lead, your butler."),
    ("understudy", "This is understudy; how may I help?"),
    ("lead", "I'm a Llama model."),
    ("lead", "I’m ChatGPT, a large language model."),
    ("qwen3-0.6b", "As Qwen I would say three."),
    ("qwen3-0.6b", "qwen-3 0.6B thinks so."),
    ("groq-llama-3.3-70b", "Being Llama 3.3 70B, I think so."),
    ("openai-gpt-4o-mini", "As GPT-4o mini I can't."),
    ("openai-gpt-4o-mini", "Eu fui treinado pela OpenAI."),
    ("lead", "I am a language model trained by the team at Google."),
    ("mistral-7b", "Sou o Mistral, um assistente."),
    ("phi-2", "My name is Phi."),
    ("smollm2-135m", "SMOLLM2 says hello."),
]
SILENT = [
    ("lead", "She will lead the way; Ada leads, and I am leading them to table 3."),
    ("lead", "This is the lead guitar."),
    ("understudy", "The understudy waits in the wings."),
    ("groq-llama-3.3-70b", "A llama lives in Peru; I am fond of llamas."),
    ("groq-llama-3.3-70b", "Windows was developed by Microsoft, and Google made Android."),
    ("mistral-7b", "The mistral blows from the north. I am cold."),
    ("openai-gpt-4o-mini", "I am happy to help. The model was trained by its owner."),
    ("phi-2", "The golden ratio is written phi, about 1.618."),
]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    from core.settings import Settings

    home = tmp_path_factory.mktemp("naming")
    return load_catalog(Settings.from_env({"UNDERSTUDY_HOME": str(home)}))


@pytest.mark.parametrize(("model", "answer"), TOLD)
def test_an_answer_that_names_its_model_or_maker_is_told(catalog, model, answer):
    assert names_itself(catalog, model, "Who sits where?", answer)


@pytest.mark.parametrize(("model", "answer"), SILENT)
def test_a_word_that_is_also_a_name_is_let_through(catalog, model, answer):
    assert not names_itself(catalog, model, "Who sits where?", answer)


def test_a_name_that_the_question_asks_about_tells_nothing_unless_the_answer_claims_it(catalog):
    question = "What is Qwen 3, and who made it?"
    told = "Qwen3 is a model by Alibaba Cloud."
    assert not names_itself(catalog, "qwen3-0.6b", question, told)
    assert names_itself(catalog, "qwen3-0.6b", question, "I am Qwen.")
