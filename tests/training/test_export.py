"""Exports: whole folders that say what base and adapter say, or a clear refusal."""

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

from core.digests import folder_digest
from core.errors import InputError, NotFoundError, StorageError, TrainingError
from core.services import Services
from core.settings import PROJECT
from tests import tiny_models
from tests.serving import serve
from tests.training.registry_runs import completed_run
from training.export import Source, export, find_source
from training.export_card import read_results
from training.export_gguf import LLAMA_3, export_model_gguf, splitting_of
from training.export_merged import merge
from training.export_ollama import modelfile
from training.registry import Registry

SUMMARY = {
    "run": "e-1",
    "task": "gala-tools",
    "model": "tiny@tiny-toolcall-v1",
    "status": "completed",
    "metrics": {
        "tool_call_strict": {"value": 0.75, "low": 0.68, "high": 0.81, "n": 199},
        "bfcl_ast": {"value": 0.8, "low": None, "high": None, "n": 199},
    },
}
UNDERSTUDY = PROJECT / "assets" / "models" / "understudy"
PROBES = (
    "Seat Ada at table 4, it's 7:30 and there're 12 guests!",
    "  two spaces\n\nand 1234567 lines\t\tçé… 🎭 don't 'll",
    "<|im_start|>user\nWho?<|im_end|>\n",
    'x={"a": [1, 22, 333]}',
)


@pytest.fixture
def registry(services: Services) -> Registry:
    return Registry(services.store, services.settings.home)


@pytest.fixture
def source(services: Services, registry: Registry, adapter_folder: Path) -> Source:
    home, catalog = services.settings.home, services.catalog
    completed_run(home, catalog, "a", adapter_folder, preset="tool-call")
    return find_source(registry, catalog, registry.register("a").name)


def header(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_an_adapter_folder_is_the_registered_one_with_a_card(source: Source, tmp_path: Path):
    done = export(source, "adapter", tmp_path / "out")
    assert set(done["files"]) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert done["digest"] == source.sheet.stored.digest == folder_digest(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert header(tmp_path / "out")["library_name"] == "peft"
    assert "base_model" not in header(tmp_path / "out")
    for fact in (
        f"| base digest | `{source.sheet.stored.base_digest}` |",
        f"| dataset digest | `{source.sheet.stored.dataset_digest}` |",
        "| run | a |",
        "| rank | 64 |",
        "| eval loss | 2.125 |",
        "| trainable parameters | not measured |",
        "## Evaluation\n\nNot measured.",
    ):
        assert fact in card


def test_the_card_holds_results_with_their_intervals(
    services: Services, registry: Registry, source: Source, tmp_path: Path
):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(SUMMARY))
    name = source.sheet.stored.name
    told = find_source(registry, services.catalog, name, read_results(path))
    export(told, "adapter", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    by = "gala-tools | tiny@tiny-toolcall-v1"
    assert f"| {by} | tool_call_strict | 0.750 | 0.680 to 0.810 | 199 |" in card
    assert f"| {by} | bfcl_ast | 0.800 | none | 199 |" in card
    assert "Not measured." not in card


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "is not what `python -m evals run --json` prints"),
        ("{}", "is not what `python -m evals run --json` prints"),
        (json.dumps({**SUMMARY, "status": "invalid"}), "run 'e-1' is invalid"),
    ],
)
def test_results_that_do_not_count_are_refused(tmp_path: Path, text: str, part: str):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=part):
        read_results(path)


def test_a_merged_model_says_what_base_and_adapter_say(source: Source, tmp_path: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(source, "merged", tmp_path / "out")
    assert header(tmp_path / "out")["library_name"] == "transformers"
    assert "saved as float32" in (tmp_path / "out" / "README.md").read_text()
    base = AutoModelForCausalLM.from_pretrained(source.base)
    adapted = PeftModel.from_pretrained(base, source.adapter).eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.arange(200)[None]
    with torch.inference_mode():
        wanted, found = adapted(ids).logits, merged(ids).logits
        with adapted.disable_adapter():
            plain = adapted(ids).logits
    assert torch.allclose(found, wanted, atol=1e-4 * wanted.abs().max().item())
    assert (plain - wanted).abs().max() > 100 * (found - wanted).abs().max()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template == tiny_models.TEMPLATE
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_a_merge_that_says_something_else_is_refused(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from peft.tuners.lora import LoraModel

    # What a merge into quantised weights would come to.
    monkeypatch.setattr(LoraModel, "merge_and_unload", lambda self: self.unload())
    with pytest.raises(TrainingError, match="the merged model is not the adapted one: a logit"):
        export(source, "merged", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_half_precision_base_stays_one_and_the_rounding_is_told(tmp_path: Path):
    adapter = tiny_models.save_adapter(tmp_path / "adapter", UNDERSTUDY, strength=0.1)
    (tmp_path / "out").mkdir()
    done = merge(UNDERSTUDY, adapter, tmp_path / "out")
    assert done.dtype == "bfloat16"
    assert done.difference < done.saved_difference < done.effect
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert size < 1.1 * (UNDERSTUDY / "model.safetensors").stat().st_size


def test_what_cannot_be_exported_is_said_and_nothing_is_left(
    services: Services, registry: Registry, source: Source, tmp_path: Path
):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="is there already; name a new folder"):
        export(source, "adapter", tmp_path / "there")
    with pytest.raises(InputError, match="no export named 'onnx'; choose one of: adapter"):
        export(source, "onnx", tmp_path / "out")
    with pytest.raises(NotFoundError, match="no adapter named 'none'"):
        find_source(registry, services.catalog, "none")
    with pytest.raises(InputError, match="we can write ChatML alone"):
        export(source, "ollama", tmp_path / "out")
    config = source.base / "config.json"
    before = config.read_text()
    config.write_text(before + " ")
    with pytest.raises(StorageError, match="was trained on another 'tiny'"):
        find_source(registry, services.catalog, source.sheet.stored.name)
    config.write_text(before)
    assert not list(tmp_path.glob("*out*"))


def asked_of_llama_cpp(file: Path, texts: tuple[str, ...]) -> dict:
    """Ask llama.cpp itself, in a process of its own, over its HTTP server on loopback."""
    script = """
import json, sys, urllib.request, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.verbosity = 512, 1, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.fit_params = False
server = xllamacpp.Server(params)
found = server.handle_completions({"prompt": [5], "max_tokens": 1})
def ask(path, body):
    request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))
print(json.dumps({
    "tokens": [ask("/tokenize", {"content": t, "parse_special": True})["tokens"]
        for t in json.loads(sys.argv[2])],
    "template": ask("/apply-template", {"messages": [{"role": "user", "content": "Who?"}]}),
    "said": ask("/completion", {"prompt": json.loads(sys.argv[3]), "n_predict": 12,
        "temperature": 0, "return_tokens": True})["tokens"],
}))
"""
    prompt = [7, 42, 99, 130]
    done = subprocess.run(
        [sys.executable, "-c", script, str(file), json.dumps(texts), json.dumps(prompt)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_llama_cpp_reads_a_gguf_as_the_model_it_was_made_of(tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = tiny_models.save_adapter(tmp_path / "adapter", UNDERSTUDY, strength=0.1)
    (tmp_path / "merged").mkdir()
    merge(UNDERSTUDY, adapter, tmp_path / "merged")
    file = tmp_path / "model.gguf"
    export_model_gguf(tmp_path / "merged", file, "F32")
    found = asked_of_llama_cpp(file, PROBES)
    tokenizer = AutoTokenizer.from_pretrained(UNDERSTUDY)
    assert found["tokens"] == [tokenizer(text).input_ids for text in PROBES]
    turn = [{"role": "user", "content": "Who?"}]
    assert found["template"]["prompt"] == tokenizer.apply_chat_template(
        turn, tokenize=False, add_generation_prompt=True
    )
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    with torch.inference_mode():
        said = merged.generate(torch.tensor([[7, 42, 99, 130]]), max_new_tokens=12, do_sample=False)
    assert found["said"] == said[0, 4:].tolist()


def split_folder(folder: Path, pre_tokenizer) -> Path:
    """Write a tiny Llama whose tokenizer splits text so."""
    tiny_models.save_llama(folder)
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["pre_tokenizer"] = json.loads(pre_tokenizer.__getstate__())
    path.write_text(json.dumps(raw))
    return folder


def splitters() -> dict:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

    plain = ByteLevel(add_prefix_space=False, use_regex=False)
    return {
        "gpt-2": ByteLevel(add_prefix_space=False),
        "smollm": Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]),
        "llama-bpe": Sequence([Split(Regex(LLAMA_3), "isolated"), plain]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt-2", "smollm", "llama-bpe"])
def test_llama_cpp_splits_text_as_the_name_says(name: str, tmp_path: Path):
    from transformers import AutoTokenizer

    folder = split_folder(tmp_path / "model", splitters()[name])
    assert splitting_of(folder) == name
    file = tmp_path / "model.gguf"
    export_model_gguf(folder, file, "F32")
    texts = (*PROBES[:2], PROBES[3])
    found = asked_of_llama_cpp(file, texts)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert found["tokens"] == [tokenizer(text).input_ids for text in texts]


def test_a_tokenizer_that_splits_otherwise_is_refused(tmp_path: Path):
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Whitespace

    others = (
        ByteLevel(add_prefix_space=True),
        Whitespace(),
        Sequence([Digits(individual_digits=False), ByteLevel(add_prefix_space=False)]),
    )
    for number, other in enumerate(others):
        folder = split_folder(tmp_path / str(number), other)
        with pytest.raises(InputError, match="we know how llama.cpp splits text for GPT-2"):
            splitting_of(folder)
    with pytest.raises(InputError, match="has no tokenizer.json that can be read"):
        splitting_of(tmp_path)


def test_gguf_exports_of_a_registered_adapter(source: Source, tmp_path: Path):
    from gguf import GGUFReader

    export(source, "gguf-adapter", tmp_path / "lora")
    lora = GGUFReader(tmp_path / "lora" / "tiny-toolcall-v1-lora.gguf")
    assert lora.get_field("adapter.type").contents() == "lora"
    done = export(source, "gguf", tmp_path / "whole", "Q8_0")
    assert set(done["files"]) == {"README.md", "tiny-toolcall-v1.gguf"}
    whole_file = (tmp_path / "whole" / "tiny-toolcall-v1.gguf").read_bytes()
    assert done["digest"] == f"sha256:{hashlib.sha256(whole_file).hexdigest()}"
    whole = GGUFReader(tmp_path / "whole" / "tiny-toolcall-v1.gguf")
    assert whole.get_field("tokenizer.ggml.tokens").contents()[:2] == ["<|end|>", "<|pad|>"]
    assert whole.get_field("tokenizer.ggml.pre").contents() == "gpt-2"
    assert whole.get_field("tokenizer.chat_template").contents() == tiny_models.TEMPLATE


def test_a_modelfile_for_chatml():
    text = modelfile(UNDERSTUDY, "a.gguf", 1024)
    assert text.splitlines()[1:4] == [
        "FROM ./a.gguf",
        'PARAMETER stop "<|im_end|>"',
        "PARAMETER num_ctx 1024",
    ]
    assert "{{ range .Messages }}<|im_start|>{{ .Role }}" in text


class FakeHub:
    """What of the Hub a push of a folder uses."""

    def __init__(self, write_status: int = 200) -> None:
        self.made: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self._write_status = write_status

    def app(self) -> Starlette:
        api = "/api/models/org/model"
        return Starlette(
            routes=[
                Route("/api/repos/create", self.create, methods=["POST"]),
                Route("/api/validate-yaml", self.validate, methods=["POST"]),
                Route(f"{api}/preupload/main", self.preupload, methods=["POST"]),
                Route(f"{api}/commit/main", self.commit, methods=["POST"]),
                Route(f"{api}", self.facts),
                Route(f"{api}/revision/main", self.facts),
                Route("/{path:path}", self.missing, methods=["GET", "HEAD", "POST"]),
            ]
        )

    async def create(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        self.made.append(await request.json())
        return JSONResponse({"url": f"{request.base_url}org/model"})

    async def facts(self, request: Request) -> Response:
        return JSONResponse({"id": "org/model", "sha": "1" * 40, "siblings": []})

    async def validate(self, request: Request) -> Response:
        yaml.safe_load((await request.json())["content"].split("---\n")[1])
        return JSONResponse({})

    async def preupload(self, request: Request) -> Response:
        files = (await request.json())["files"]
        modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
        return JSONResponse({"files": modes})

    async def commit(self, request: Request) -> Response:
        import base64

        self.tokens.add(request.headers.get("authorization"))
        if self._write_status != 200:
            return JSONResponse({"error": "no"}, self._write_status)
        for line in map(json.loads, (await request.body()).splitlines()):
            if line["key"] == "file":
                self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        address = f"{request.base_url}org/model/commit/{'2' * 40}"
        return JSONResponse({"commitUrl": address, "commitOid": "2" * 40})

    def missing(self, request: Request) -> Response:
        return Response(status_code=404, headers={"x-error-code": "RepoNotFound"})


PUSH = """
import json, sys
from pathlib import Path
from core.errors import AppError
from training.export import push
try:
    print(json.dumps(push(Path(sys.argv[1]), sys.argv[2], sys.argv[3] or None)))
except AppError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def push(url: str, home: Path, folder: Path, repo: str = "org/model", token: str = "hf_secret"):
    """Push in a process of its own: the library reads its settings at import."""
    settings = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", PUSH, str(folder), repo, token],
        cwd=PROJECT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_push_puts_the_whole_folder_on_the_hub(source: Source, tmp_path: Path):
    out = tmp_path / "out"
    export(source, "adapter", out)
    hub = FakeHub()
    with serve(hub.app()) as url:
        assert push(url, tmp_path / "hf", out) == f"{url}/org/model/commit/{'2' * 40}"
    assert hub.files == {path.name: path.read_bytes() for path in out.iterdir()}
    assert hub.tokens == {"Bearer hf_secret"}
    assert [(made["name"], made["visibility"]) for made in hub.made] == [("model", "private")]


@pytest.mark.parametrize(
    ("repo", "token", "kind", "part"),
    [
        ("org/model", "hf_secret", "UnavailableError", "HF_TOKEN may write there"),
        ("org/model", "", "InputError", "set HF_TOKEN"),
        ("no such name", "hf_secret", "InputError", "does not accept 'no such name'"),
    ],
)
def test_a_push_that_fails_is_one_sentence(
    source: Source, tmp_path: Path, repo: str, token: str, kind: str, part: str
):
    out = tmp_path / "out"
    export(source, "adapter", out)
    with serve(FakeHub(403).app()) as url:
        found, text = push(url, tmp_path / "hf", out, repo, token)
    assert found == kind
    assert part in text
    assert "hf_secret" not in text
