"""The llama.cpp engine gives what transformers and PEFT give, for many at once."""

import os
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.engine_agreement import Agreement, compare, prompt_tokens, prompts
from core.engines.base import Job
from core.engines.llama_cpp import LlamaCppEngine, load_llama_cpp
from core.engines.llama_server import Door, LlamaOptions
from core.errors import GenerationError, MissingExtraError, UnavailableError
from core.messages import GenerationParams
from core.settings import PROJECT
from tests import tiny_models

LEAD = PROJECT / "assets" / "models" / "lead"
TIE = 1e-3
"""Two logits nearer than this may change places: the order of sums differs between engines."""
WAIT_S = 60


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@pytest.fixture(scope="module")
def load(cache) -> Iterator[Callable[..., LlamaCppEngine]]:
    """Return what loads a folder, once per folder and quantisation."""
    engines: dict[tuple[Path, str], LlamaCppEngine] = {}

    def loaded(folder: Path, quantisation="F32") -> LlamaCppEngine:
        if (folder, quantisation) not in engines:
            options = LlamaOptions(quantisation, 1024, cache)
            engines[folder, quantisation] = load_llama_cpp(folder.name, folder, options)
        return engines[folder, quantisation]

    yield loaded
    for engine in engines.values():
        engine.close()


@pytest.fixture(scope="module")
def lead(load) -> LlamaCppEngine:
    return load(LEAD)


@pytest.fixture(scope="module")
def lead_adapter(tmp_path_factory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("adapter"), LEAD)


def save_adapter(folder: Path, base: Path, **changes) -> Path:
    """Write a random LoRA on every matrix of the layers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    options = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", **changes}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    tuned.save_pretrained(folder)
    return folder


class Reference:
    """Greedy decoding by transformers in fp32, with an adapter by PEFT or none."""

    def __init__(self, folder: Path, adapter: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if adapter is not None:
            self.model.load_adapter(str(adapter))

    def answer(self, prompt: list[int], count: int) -> list[int]:
        import torch

        tokens = torch.tensor([prompt])
        found = self.model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=count,
            do_sample=False,
        )
        return found[0, len(prompt) :].tolist()

    def gap(self, tokens: list[int]) -> float:
        """Return how far the two best next tokens are apart."""
        import torch

        with torch.inference_mode():
            best = self.model(torch.tensor([tokens])).logits[0, -1].topk(2).values
        return float(best[0] - best[1])


def assert_same(found: list[int], reference: Reference, prompt: list[int], count: int) -> None:
    """Compare an answer with the reference's, up to a tie."""
    wanted = reference.answer(prompt, count)
    same = 0
    while same < min(len(found), len(wanted)) and found[same] == wanted[same]:
        same += 1
    if found != wanted:
        assert reference.gap(prompt + wanted[:same]) < TIE, (same, found, wanted)


def job_of(prompt: list[int], count=48, adapter=None, cancelled=None, **params) -> Job:
    chosen = GenerationParams(max_tokens=count, **params)
    return Job(prompt, chosen, adapter, count, cancelled or threading.Event())


def tokens_of(job: Job) -> list[int]:
    assert job.finished.is_set()
    return [job.tokens.get_nowait().id for _ in range(job.tokens.qsize())]


def run(engine: LlamaCppEngine, *args, **kwargs) -> list[int]:
    job = job_of(*args, **kwargs)
    engine.submit(job).result(WAIT_S)
    return tokens_of(job)


def real_prompts(engine: LlamaCppEngine, count: int) -> list[list[int]]:
    return [prompt_tokens(engine, request) for request in prompts(count)]


def test_greedy_tokens_are_those_of_transformers(lead):
    reference = Reference(LEAD)
    for prompt in real_prompts(lead, 20):
        assert_same(run(lead, prompt), reference, prompt, 48)


def test_a_model_with_its_own_output_layer_and_shared_heads_is_converted_right(load, tmp_path):
    folder = save_grouped(tmp_path / "grouped")
    engine, reference = load(folder), Reference(folder)
    for start in (0, 7, 19):
        prompt = list(range(start, 300, 7))
        found = run(engine, prompt)
        assert len(set(found)) > 3
        assert_same(found, reference, prompt, 48)


def save_grouped(folder: Path) -> Path:
    """Write a random Llama with grouped heads, an own head width and Llama 3.1's positions."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = tiny_models.save_tokenizer(folder, tiny_models.TEMPLATE)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=72,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="100KB")
    assert (folder / "model.safetensors.index.json").is_file()
    return folder


def test_an_adapter_gives_what_peft_gives_and_is_off_for_others(lead, lead_adapter):
    prompt = real_prompts(lead, 1)[0]
    before = run(lead, prompt)
    digest = lead.adapter_digest("a@1", lead_adapter)
    assert digest.startswith("sha256:")
    assert lead.adapter_digest("a@1", lead_adapter) == digest
    reference = Reference(LEAD, lead_adapter)
    for each in real_prompts(lead, 5):
        changed = run(lead, each, adapter="a@1")
        assert changed != run(lead, each)
        assert_same(changed, reference, each, 48)
    assert run(lead, prompt) == before


@pytest.mark.parametrize("quantisation", ["Q8_0", "Q4_0"])
def test_an_adapter_works_on_quantised_weights(load, lead_adapter, quantisation):
    engine = load(LEAD, quantisation)
    engine.adapter_digest("a@1", lead_adapter)
    prompt = real_prompts(engine, 1)[0]
    assert run(engine, prompt, adapter="a@1") != run(engine, prompt)


def test_rank_stabilised_adapters_are_scaled_as_peft_does(lead, tmp_path):
    folder = save_adapter(tmp_path, LEAD, use_rslora=True, r=16, target_modules=["q_proj"])
    lead.adapter_digest("rs@1", folder)
    reference = Reference(LEAD, folder)
    for prompt in real_prompts(lead, 3):
        assert_same(run(lead, prompt, adapter="rs@1"), reference, prompt, 48)


def test_an_adapter_that_changes_nothing_is_refused_and_the_others_go_on(lead, tmp_path):
    folder = tiny_models.save_adapter(tmp_path, LEAD, strength=0.0)
    prompt = real_prompts(lead, 1)[0]
    before = run(lead, prompt)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="adapter 'null@1' changes nothing"):
            lead.adapter_digest("null@1", folder)
    assert run(lead, prompt) == before


def test_an_adapter_of_another_model_is_refused(lead, adapter_folder):
    with pytest.raises(UnavailableError, match=r"the model's is \(192, 192\)"):
        lead.adapter_digest("other@1", adapter_folder)


def test_an_adapter_loads_while_answers_run_and_breaks_none(lead, tmp_path):
    folder = save_adapter(tmp_path, LEAD, target_modules=["v_proj"])
    found = real_prompts(lead, 4)
    alone = [run(lead, prompt) for prompt in found]
    jobs = [job_of(prompt) for prompt in found * 4]
    futures = [lead.submit(job) for job in jobs]
    lead.adapter_digest("late@1", folder)
    for future in futures:
        future.result(WAIT_S)
    assert [tokens_of(job) for job in jobs] == alone * 4
    assert [run(lead, prompt, adapter="late@1") for prompt in found] != alone


def test_eight_at_once_answer_as_each_alone(lead):
    reference = Reference(LEAD)
    found = real_prompts(lead, 8)
    alone = [run(lead, prompt) for prompt in found]
    jobs = [job_of(prompt) for prompt in found]
    for future in [lead.submit(job) for job in jobs]:
        future.result(WAIT_S)
    for job, prompt, single in zip(jobs, found, alone, strict=True):
        together = tokens_of(job)
        if together != single:
            assert_same(together, reference, prompt, 48)


def test_requests_with_and_without_an_adapter_do_not_mix(lead, lead_adapter):
    lead.adapter_digest("a@1", lead_adapter)
    prompt = real_prompts(lead, 1)[0]
    wanted = {name: run(lead, prompt, adapter=name) for name in (None, "a@1")}
    jobs = [job_of(prompt, adapter=name) for name in (None, "a@1") * 4]
    for future in [lead.submit(job) for job in jobs]:
        future.result(WAIT_S)
    assert [tokens_of(job) for job in jobs] == [wanted[job.adapter] for job in jobs]


def test_more_jobs_than_slots_all_end(lead):
    prompt = real_prompts(lead, 1)[0]
    jobs = [job_of(prompt, count=4) for _ in range(40)]
    for future in [lead.submit(job) for job in jobs]:
        future.result(WAIT_S)
    assert {tuple(tokens_of(job)) for job in jobs} == {tuple(run(lead, prompt, count=4))}


def endless(load, folder) -> tuple[LlamaCppEngine, list[int]]:
    """Return a model that never ends by itself, and a prompt."""
    return load(folder), list(range(2, 40))


def test_a_cancelled_job_ends_within_a_token(load, tiny_folder):
    engine, prompt = endless(load, tiny_folder)
    cancelled = threading.Event()
    job = job_of(prompt, count=900, cancelled=cancelled)
    job.tokens = Cancelling(cancelled, after=5)
    future = engine.submit(job)
    future.result(WAIT_S)
    assert len(tokens_of(job)) == 5


class Cancelling(queue.SimpleQueue):
    """A queue whose reader has had enough after some tokens."""

    def __init__(self, enough: threading.Event, after: int) -> None:
        self._enough = enough
        self._after = after

    def put(self, item, *args, **kwargs) -> None:
        super().put(item)
        if self.qsize() == self._after:
            self._enough.set()


def test_a_job_cancelled_before_it_starts_gives_nothing(load, tiny_folder):
    engine, prompt = endless(load, tiny_folder)
    cancelled = threading.Event()
    cancelled.set()
    assert run(engine, prompt, cancelled=cancelled) == []


def test_the_slots_of_cancelled_jobs_are_free_again(load, tiny_folder):
    engine, prompt = endless(load, tiny_folder)
    wanted = run(engine, prompt, count=20)
    for _ in range(40):
        cancelled = threading.Event()
        job = job_of(prompt, count=900, cancelled=cancelled)
        job.tokens = Cancelling(cancelled, after=2)
        engine.submit(job).result(WAIT_S)
    assert run(engine, prompt, count=20) == wanted


def test_a_seed_gives_the_same_tokens_whoever_else_samples(load, tiny_folder):
    engine, prompt = endless(load, tiny_folder)
    sampled = {"count": 30, "temperature": 1.5, "top_p": 0.9}
    first = run(engine, prompt, seed=7, **sampled)
    others = [job_of(prompt, seed=seed, **sampled) for seed in range(6)]
    futures = [engine.submit(job) for job in others]
    assert run(engine, prompt, seed=7, **sampled) == first
    for future in futures:
        future.result(WAIT_S)
    assert len({tuple(tokens_of(job)) for job in others}) > 1
    # llama.cpp's own word for `draw one` is a seed like any other here.
    last = [run(engine, prompt, seed=2**32 - 1, **sampled) for _ in range(2)]
    assert last[0] == last[1]


def test_without_a_seed_answers_differ(load, tiny_folder):
    engine, prompt = endless(load, tiny_folder)
    found = {tuple(run(engine, prompt, count=30, temperature=1.5)) for _ in range(3)}
    assert len(found) > 1


def test_a_tiny_nucleus_is_greedy_at_any_temperature(load, tiny_folder):
    engine, prompt = endless(load, tiny_folder)
    greedy = run(engine, prompt, count=30)
    assert run(engine, prompt, count=30, temperature=2.0, top_p=1e-6, seed=1) == greedy


def test_an_answer_fills_the_context_to_the_last_token(load, tiny_folder):
    engine, _ = endless(load, tiny_folder)
    prompt = [2 + i % 300 for i in range(1000)]
    assert len(run(engine, prompt, count=24)) == 24


def test_a_request_that_llama_cpp_refuses_is_an_error(load, tiny_folder):
    engine, _ = endless(load, tiny_folder)
    job = job_of([10**6], count=4)
    with pytest.raises(GenerationError, match="invalid tokens"):
        engine.submit(job).result(WAIT_S)
    assert job.finished.is_set()


def test_the_end_token_is_handed_over(lead):
    (end,) = lead.end_tokens
    assert end == lead.tokenizer.eos_token_id
    found = [run(lead, prompt, count=200) for prompt in real_prompts(lead, 3)]
    assert all(tokens[-1] == end and end not in tokens[:-1] for tokens in found)


def test_any_of_several_end_tokens_ends_an_answer(load, tiny_folder, tmp_path):
    engine, prompt = endless(load, tiny_folder)
    found = run(engine, prompt, count=20)
    folder = tmp_path / "ends"
    shutil.copytree(tiny_folder, folder)
    extra = found[9]
    tiny_models.change_config(folder, eos_token_id=[0, extra])
    (folder / "generation_config.json").unlink()
    other = load(folder)
    assert other.end_tokens == {0, extra}
    assert run(other, prompt, count=20) == found[: found.index(extra) + 1]


def test_quantised_answers_are_counted_against_exact_ones(load, lead):
    requests = prompts(16)
    assert compare(lead, lead, requests) == Agreement(16, 16, 16)
    eight = compare(lead, load(LEAD, "Q8_0"), requests)
    four = compare(lead, load(LEAD, "Q4_0"), requests)
    other = compare(lead, load(LEAD.parent / "understudy", "F32"), requests)
    assert other.same_tokens < four.same_tokens <= eight.same_tokens <= 16
    assert four.same_tokens <= four.same_calls


def test_the_size_counts_weights_caches_and_adapters(cache, tiny_folder, adapter_folder):
    options = LlamaOptions("F32", 1024, cache)
    with closing(load_llama_cpp("tiny", tiny_folder, options)) as engine:
        weights = (tiny_folder / "model.safetensors").stat().st_size
        caches = 16 * 1024 * 2 * 2 * 64 * 4  # slots, tokens, keys and values, layers, width, bytes
        step = 512 * (2 * 128 + 4 * 64 + 2 * 1024) * 4  # tokens, inner, width, scores, bytes
        before = engine.size_bytes
        assert before == pytest.approx(weights + caches + step, rel=0.02)
        engine.adapter_digest("a@1", adapter_folder)
        assert engine.size_bytes > before


def test_nobody_can_connect_to_the_engine(lead):
    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    ours = {os.readlink(link) for link in links if link.is_symlink()}
    listening = [
        line.split()
        for name in ("tcp", "tcp6", "unix")
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]
    ]
    is_unix = {"00010000"}  # flag of a socket that accepts
    ports = [f for f in listening if len(f) > 9 and f[3] == "0A" and f"socket:[{f[9]}]" in ours]
    paths = [f for f in listening if f[3] in is_unix and f"socket:[{f[6]}]" in ours]
    assert ports == []
    assert any(fields[-1].endswith("/llama.sock") for fields in paths)
    assert [fields[-1] for fields in paths if Path(fields[-1]).exists()] == []


def test_a_missing_package_says_what_to_install(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtraError, match="pip install -r requirements-llama.txt"):
        load_llama_cpp("tiny", tiny_folder, LlamaOptions("F32", 1024, tmp_path))


def test_a_damaged_converted_file_is_named(tiny_folder, tmp_path):
    options = LlamaOptions("F16", 1024, tmp_path)
    load_llama_cpp("tiny", tiny_folder, options).close()
    (file,) = tmp_path.glob("*.gguf")
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(UnavailableError, match=f"can't load '{file}'; delete it"):
        load_llama_cpp("tiny", tiny_folder, options)
    file.unlink()
    load_llama_cpp("tiny", tiny_folder, options).close()


def test_an_engine_that_cannot_start_again_says_so_and_takes_no_more_jobs(
    tiny_folder, adapter_folder, tmp_path
):
    options = LlamaOptions("F16", 1024, tmp_path)
    with closing(load_llama_cpp("tiny", tiny_folder, options)) as engine:
        (file,) = tmp_path.glob("*.gguf")
        file.unlink()
        with pytest.raises(UnavailableError, match="can't load"):
            engine.adapter_digest("a@1", adapter_folder)
        job = job_of([2, 3], count=4)
        with pytest.raises(UnavailableError, match="could not be started again"):
            engine.submit(job).result(WAIT_S)
        assert job.finished.is_set()


def test_who_wants_to_be_alone_goes_before_newcomers():
    door, order = Door(), []
    first_inside, first_leaves = threading.Event(), threading.Event()

    def first() -> None:
        with door.shared():
            first_inside.set()
            first_leaves.wait(WAIT_S)
            order.append("first")

    def alone() -> None:
        with door.alone():
            order.append("alone")

    def newcomer() -> None:
        with door.shared():
            order.append("newcomer")

    threads = [threading.Thread(target=target) for target in (first, alone, newcomer)]
    threads[0].start()
    assert first_inside.wait(WAIT_S)
    threads[1].start()
    while not door.is_shut:
        pass
    threads[2].start()
    first_leaves.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert order == ["first", "alone", "newcomer"]
