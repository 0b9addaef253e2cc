import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.catalog import AdapterEntry, ModelEntry, Target
from core.digests import folder_digest
from core.engines.base import Engine, Job
from core.engines.sampling import Gumbel
from core.engines.transformers_engine import load_engine
from core.errors import InputError, UnavailableError
from core.messages import GenerationParams, Message, Progress, Tool, ToolCall
from core.pool import ModelPool
from core.providers import generate
from core.providers.base import Completion, ProviderCall
from core.providers.local import LocalProvider
from core.providers.prompt import build_prompt
from core.providers.weights import load_folder
from core.settings import PROJECT
from tests import tiny_models
from tests.tiny_models import CONTEXT

HELLO = (Message("user", "Good evening"),)
TOOL = Tool("find_table", "Finds it.", {"type": "object", "properties": {}})


@pytest.fixture(scope="module")
def pool() -> Iterator[ModelPool[Engine]]:
    """One pool for all tests of this file: each model is loaded once."""
    made: ModelPool[Engine] = ModelPool(10**9)
    yield made
    made.close()


@pytest.fixture
def provider(pool) -> LocalProvider:
    return LocalProvider(pool, None, Path("gguf"))


def target_of(folder: Path, **changes) -> Target:
    entry = ModelEntry(provider="local", path=str(folder), context=CONTEXT)
    return Target(folder.name, folder.name, replace(entry, **changes))


def call_of(target: Target, messages=HELLO, tools=(), trim=False, **params) -> ProviderCall:
    chosen = GenerationParams(**{"max_tokens": 8, **params})
    return ProviderCall(target, tuple(messages), tuple(tools), chosen, threading.Event(), trim)


def run(provider: LocalProvider, call: ProviderCall) -> Completion:
    """Return the completion, checked against the texts that came before it."""
    *events, last = provider.stream(call)
    assert isinstance(last, Completion)
    assert "".join(e for e in events if isinstance(e, str)) == last.text
    return last


@pytest.fixture
def tiny(tiny_folder) -> Target:
    return target_of(tiny_folder)


@pytest.fixture
def other(other_folder) -> Target:
    return target_of(other_folder)


def reference(folder: Path, call: ProviderCall, count: int) -> str:
    """Return what `model.generate` of the library says, greedily."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = torch.tensor([build_prompt(tokenizer, call).tokens])
    output = model.generate(prompt, max_new_tokens=count, do_sample=False)
    return tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)


def test_greedy_text_is_that_of_the_library(provider, tiny, tiny_folder):
    call = call_of(tiny, max_tokens=60)
    found = run(provider, call)
    assert found.text == reference(tiny_folder, call, 60)
    assert found.usage.output_tokens == 60
    assert found.finish_reason == "length"
    tokenizer = load_folder("x", tiny_folder, "fp32").tokenizer
    assert found.usage.input_tokens == len(build_prompt(tokenizer, call).tokens)
    assert found.model.digest == folder_digest(tiny_folder)
    assert found.adapter is None
    assert found.timings.first_token_s > 0
    assert found.timings.tokens_per_s > 0
    assert found.timings.total_s >= found.timings.first_token_s


def test_loading_is_announced_and_timed(tiny_folder):
    pool: ModelPool[Engine] = ModelPool(10**9)
    events = list(LocalProvider(pool, None, Path("gguf")).stream(call_of(target_of(tiny_folder))))
    assert events[0] == Progress("loading")
    assert events[-1].timings.load_s > 0.001
    pool.close()


def test_a_seed_gives_the_same_text_whoever_else_samples(provider, tiny, other):
    sampled = {"temperature": 1.5, "top_p": 0.9, "max_tokens": 30}
    first = run(provider, call_of(tiny, seed=7, **sampled)).text
    noise = threading.Thread(target=run, args=(provider, call_of(other, seed=1, **sampled)))
    noise.start()
    assert run(provider, call_of(tiny, seed=7, **sampled)).text == first
    noise.join()
    assert len({run(provider, call_of(tiny, seed=s, **sampled)).text for s in (7, 8, 9)}) == 3
    unseeded = {run(provider, call_of(tiny, **sampled)).text for _ in range(2)}
    assert len(unseeded) == 2


def test_sampling_follows_the_distribution():
    """Gumbel noise over fixed scores, against the softmax: 4,000 draws, three sigma."""
    import torch

    scores = torch.tensor([[1.0, 0.0, -1.0, float("-inf")]])
    noisy = Gumbel(3, torch.device("cpu"))
    drawn = [int(noisy(scores, scores).argmax()) for _ in range(4000)]
    for token, share in enumerate(torch.softmax(scores[0], 0).tolist()):
        spread = (share * (1 - share) / 4000) ** 0.5
        assert abs(drawn.count(token) / 4000 - share) <= 3 * spread


def test_a_stop_text_ends_the_completion_and_is_not_part_of_it(provider, tiny):
    text = run(provider, call_of(tiny, max_tokens=40)).text
    stop = text[10:13]
    found = run(provider, call_of(tiny, max_tokens=40, stop=(stop,)))
    assert found.text == text[: text.index(stop)]
    assert found.finish_reason == "stop"
    assert run(provider, call_of(tiny, max_tokens=40, stop=("never said",))).text == text


def test_a_cancelled_generation_ends_within_a_token(provider, tiny, monkeypatch):
    tokens: list[bool] = []
    call = call_of(tiny, max_tokens=1000)
    add = Job.add
    monkeypatch.setattr(
        Job, "add", lambda job, token: (tokens.append(call.cancel.is_set()), add(job, token))[1]
    )
    with closing(provider.stream(call)) as stream:
        assert isinstance(next(e for e in stream if isinstance(e, str)), str)
        call.cancel.set()
        *_, last = stream
    assert last.finish_reason == "cancelled"
    assert sum(tokens) <= 1, "tokens that were made after the request to stop"
    assert last.usage.output_tokens == len(tokens) < 1000


def test_closing_the_generator_frees_the_worker(provider, tiny, monkeypatch):
    made: list[int] = []
    add = Job.add
    monkeypatch.setattr(Job, "add", lambda job, token: (made.append(token), add(job, token))[1])
    stream = provider.stream(call_of(tiny, max_tokens=1000))
    next(e for e in stream if isinstance(e, str))
    stream.close()
    count = len(made)
    assert count < 1000
    time.sleep(0.05)
    assert len(made) == count
    assert run(provider, call_of(tiny)).usage.output_tokens == 8


def test_what_is_cancelled_before_it_starts_says_nothing(provider, tiny):
    call = call_of(tiny)
    call.cancel.set()
    found = run(provider, call)
    assert (found.text, found.finish_reason) == ("", "cancelled")
    assert found.usage.output_tokens == 0
    assert found.timings.first_token_s is None


def test_two_users_of_one_model_are_both_served(provider, tiny):
    alone = [run(provider, call_of(tiny, [Message("user", t)], max_tokens=30)).text for t in "ab"]
    together: dict[str, Completion] = {}

    def ask(text):
        together[text] = run(provider, call_of(tiny, [Message("user", text)], max_tokens=30))

    threads = [threading.Thread(target=ask, args=(text,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [together[text].text for text in "ab"] == alone


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(provider, tiny):
    short = replace(tiny, model=replace(tiny.model, context=20))
    with pytest.raises(
        InputError, match=r"has \d{2,} tokens and '.*' reads at most 20, the answer"
    ) as raised:
        run(provider, call_of(short, [Message("user", "Who sits where? " * 20)]))
    assert raised.value.failure == "context_too_long"


def test_models_that_are_loaded_at_the_same_time_are_whole(tiny_folder, other_folder):
    """Trap: two loads at once left PyTorch patched, and every later model lacked tensors."""
    with ThreadPoolExecutor(4) as threads:
        folders = [tiny_folder, other_folder] * 6
        loaded = list(threads.map(lambda folder: load_folder("x", folder, "fp32"), folders))
    assert len({len(weights.model.state_dict()) for weights in loaded}) == 1


def test_the_answer_is_cut_where_the_context_ends(provider, tiny):
    length = run(provider, call_of(tiny)).usage.input_tokens
    short = replace(tiny, model=replace(tiny.model, context=length + 3))
    found = run(provider, call_of(short, max_tokens=50))
    assert (found.usage.output_tokens, found.finish_reason) == (3, "length")


def test_trimming_leaves_out_the_oldest_turns_and_says_so(provider, tiny):
    system = Message("system", "Be kind.")
    turns = [Message(role, f"{role} {n}") for n in range(6) for role in ("user", "assistant")]
    asked = [system, *turns, Message("user", "And now?")]
    small = replace(tiny, model=replace(tiny.model, context=120))
    found = run(provider, call_of(small, asked, trim=True))
    assert found.dropped_messages > 0
    assert found.dropped_messages % 2 == 0
    kept = [system, *asked[1 + found.dropped_messages :]]
    assert run(provider, call_of(small, kept)).text == found.text
    assert run(provider, call_of(tiny, asked, trim=True)).dropped_messages == 0
    with pytest.raises(InputError, match="reads at most 120"):
        run(provider, call_of(small, [Message("user", "Who sits where? " * 50)], trim=True))


def test_characters_of_several_tokens_come_whole(tiny_folder):
    """The reader's decoding, fed with the tokens of a text whose characters are many bytes."""
    engine = load_engine("tiny", tiny_folder, "fp32")
    text = "Ça va? 🎉👩\u200d🚀 olá, 你好"
    ids = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) > len(text)
    job = Job([1], GenerationParams(), None, len(ids), threading.Event())
    for token in [*ids, 0]:  # the last one ends the text and is not shown
        job.add(token)
    job.finish()
    done: Future[None] = Future()
    done.set_result(None)
    pieces = list(generate.read(engine, job, done))
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    engine.close()


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch EVIL'\ntR.")


def unsized(folder: Path) -> None:
    tiny_models.change_config(folder, hidden_size="wide")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated weights": cut,
    "empty weights": lambda f: (f / "model.safetensors").write_bytes(b""),
    "zeroed weights": lambda f: (f / "model.safetensors").write_bytes(bytes(500)),
    "missing tensor": lambda f: tiny_models.drop_tensor(f, "model.layers.0.mlp.up_proj.weight"),
    "broken config": lambda f: (f / "config.json").write_text("{"),
    "config of another kind": lambda f: (f / "config.json").write_text("[]"),
    "wrong type in config": unsized,
    "unknown architecture": lambda f: tiny_models.change_config(f, model_type="nope"),
    "other shapes": lambda f: tiny_models.change_config(f, intermediate_size=96),
    "no config": lambda f: (f / "config.json").unlink(),
    "no tokenizer": lambda f: [path.unlink() for path in f.glob("tokenizer*")],
    "broken tokenizer": lambda f: (f / "tokenizer.json").write_text("{"),
    "tokenizer of another kind": lambda f: (f / "tokenizer_config.json").write_text("null"),
    "a pickle only": pickled,
    "no folder": shutil.rmtree,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_sentence(tmp_path, tiny_folder, name):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    DAMAGE[name](folder)
    with pytest.raises(UnavailableError, match="'tiny' can't be loaded") as refused:
        load_folder("tiny", folder, "auto")
    text = str(refused.value)
    assert "\n" not in text
    assert str(folder) in text
    assert len(text) < 400
    assert not list(Path.cwd().glob("EVIL"))


def test_a_failed_load_does_not_stay_in_the_pool(tmp_path, tiny_folder, provider, pool):
    folder = shutil.copytree(tiny_folder, tmp_path / "mended")
    weights = (folder / "model.safetensors").read_bytes()
    cut(folder)
    with pytest.raises(UnavailableError):
        run(provider, call_of(target_of(folder)))
    assert "mended" not in pool.sizes()
    (folder / "model.safetensors").write_bytes(weights)
    assert run(provider, call_of(target_of(folder))).usage.output_tokens == 8


@pytest.mark.parametrize("model_type", ["llama", "evil"])
def test_code_in_a_model_folder_is_not_run(tmp_path, tiny_folder, model_type):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    proof = tmp_path / "was run"
    (folder / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass C: pass\n")
    remote = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.C"}
    tiny_models.change_config(folder, auto_map=remote, model_type=model_type)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["evil.C", "evil.C"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if model_type == "llama":
        load_folder("tiny", folder, "auto")
    else:
        with pytest.raises(UnavailableError):
            load_folder("tiny", folder, "auto")
    assert not proof.exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4", "int8"])
def test_every_precision_loads_and_generates(provider, pool, tiny_folder, precision):
    entry = replace(target_of(tiny_folder), id=precision, model_id=precision)
    target = replace(entry, model=replace(entry.model, precision=precision))
    found = run(provider, call_of(target, max_tokens=4))
    assert found.usage.output_tokens == 4
    sizes = pool.sizes()
    if precision != "fp32":
        full = sum(
            path.stat().st_size for path in tiny_folder.glob("*.safetensors")
        )  # stored as fp32
        assert sizes[precision] < 0.75 * full


def adapted(target: Target, folder: Path, version: str = "v1") -> Target:
    entry = AdapterEntry(path=str(folder))
    return replace(target, id=f"{target.model_id}@{version}", version=version, adapter=entry)


def test_an_adapter_changes_the_answer_and_the_base_stays_itself(
    provider, tiny, tiny_folder, adapter_folder
):
    before = run(provider, call_of(tiny, max_tokens=20))
    tuned = run(provider, call_of(adapted(tiny, adapter_folder), max_tokens=20))
    again = run(provider, call_of(adapted(tiny, adapter_folder, "2.0"), max_tokens=20))
    after = run(provider, call_of(tiny, max_tokens=20))
    assert before.text == after.text
    assert tuned.text not in ("", before.text)
    assert again.text == tuned.text
    assert tuned.text == tuned_reference(tiny_folder, adapter_folder, call_of(tiny), 20)
    assert before.adapter is None
    assert (tuned.adapter.id, again.adapter.id) == ("v1", "2.0")
    assert tuned.adapter.digest == again.adapter.digest
    assert tuned.adapter.digest != tuned.model.digest == before.model.digest


def tuned_reference(folder: Path, adapter: Path, call: ProviderCall, count: int) -> str:
    """Return what peft itself says."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter)
    prompt = torch.tensor([build_prompt(tokenizer, call).tokens])
    output = model.generate(input_ids=prompt, max_new_tokens=count, do_sample=False)
    return tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)


def without_a_tensor(folder: Path) -> None:
    tensors = tiny_models.load_file(folder / "adapter_model.safetensors")
    tensors.pop(sorted(tensors)[0])
    tiny_models.save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})


def of_a_deeper_model(folder: Path) -> None:
    tensors = tiny_models.load_file(folder / "adapter_model.safetensors")
    deeper = {key.replace("layers.1", "layers.7"): value for key, value in tensors.items()}
    tiny_models.save_file(deeper, folder / "adapter_model.safetensors", {"format": "pt"})


def with_config(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


WRONG_ADAPTERS: dict[str, Callable[[Path], object]] = {
    "no weights": lambda f: (f / "adapter_model.safetensors").unlink(),
    "truncated": lambda f: (f / "adapter_model.safetensors").write_bytes(bytes(100)),
    "a tensor less": without_a_tensor,
    "another model's": of_a_deeper_model,
    "unknown modules": with_config(target_modules=["nope"]),
    "another kind": with_config(peft_type="PREFIX_TUNING"),
    "another rank": with_config(r=2),
    "broken config": lambda f: (f / "adapter_config.json").write_text("{"),
    "no config": lambda f: (f / "adapter_config.json").unlink(),
}


@pytest.mark.parametrize("name", WRONG_ADAPTERS)
def test_a_wrong_adapter_is_refused_and_leaves_no_trace(
    tmp_path, provider, tiny, adapter_folder, name
):
    good = run(provider, call_of(adapted(tiny, adapter_folder), max_tokens=12)).text
    base = run(provider, call_of(tiny, max_tokens=12)).text
    folder = shutil.copytree(adapter_folder, tmp_path / "wrong")
    WRONG_ADAPTERS[name](folder)
    for _ in range(2):
        with pytest.raises(UnavailableError) as refused:
            run(provider, call_of(adapted(tiny, folder, f"wrong {name}")))
        assert "\n" not in str(refused.value)
    assert run(provider, call_of(tiny, max_tokens=12)).text == base
    assert run(provider, call_of(adapted(tiny, adapter_folder), max_tokens=12)).text == good


def test_a_model_that_knows_no_chat_gets_roles_as_words(provider, tmp_path):
    folder = tiny_models.save_gpt2(tmp_path / "gpt2")
    target = target_of(folder)
    found = run(provider, call_of(target, [Message("user", "Hi"), Message("assistant", "Yes")]))
    assert found.usage.output_tokens > 0
    tokenizer = load_folder("x", folder, "fp32").tokenizer
    prompt = build_prompt(tokenizer, call_of(target, [Message("user", "Hi")]))
    assert tokenizer.decode(prompt.tokens) == "user: Hi\nassistant:"


def test_tools_reach_the_template_or_are_refused(provider, tiny, other):
    with_tools = run(provider, call_of(tiny, tools=[TOOL])).usage.input_tokens
    assert with_tools > run(provider, call_of(tiny)).usage.input_tokens
    with pytest.raises(InputError, match="has no place for tools in its template; leave them out"):
        run(provider, call_of(other, tools=[TOOL]))


def test_a_template_that_fails_is_an_input_error(provider, tiny):
    call = ToolCall("1", "find_table", '{"guest": 5}')  # the template joins texts
    with pytest.raises(InputError, match="the template of '.*' refuses the messages"):
        run(provider, call_of(tiny, [Message("assistant", "", (call,))]))


def test_both_engines_give_the_same_answer_and_are_cached_apart(tmp_path):
    folder = PROJECT / "assets" / "models" / "lead"
    asked = (Message("user", "Good evening"),)
    texts, identities = set(), set()
    for engine in ("transformers", "llama.cpp"):
        pool: ModelPool[Engine] = ModelPool(10**9)
        with closing(pool):
            provider = LocalProvider(pool, None, tmp_path / "gguf")
            target = target_of(folder, engine=engine, precision="fp32", context=1024)
            done = run(provider, call_of(target, asked, temperature=0.0, max_tokens=24))
            texts.add(done.text)
            identities.add(provider.identity(target))
            assert done.model.digest == folder_digest(folder)
    assert len(texts) == 1
    assert len(identities) == 2
    assert len(list((tmp_path / "gguf").glob("*.gguf"))) == 1


def test_two_threads_that_load_at_once_both_find_the_whole_library():
    program = """
import sys, threading
from pathlib import Path
from core.providers.weights import check_context

failures = []

def look():
    try:
        check_context("lead", Path("assets/models/lead"), 100)
    except ImportError as error:
        failures.append(error)

first = threading.Thread(target=look)
first.start()
while "transformers" not in sys.modules:
    pass
look()
first.join()
sys.exit(len(failures))
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT).returncode == 0
