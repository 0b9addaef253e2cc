"""Models in this process: an engine per model serves all its requests, tokens as they come.

A stop request ends a generation within one token.
"""

import hashlib
import json
import time
from collections.abc import Container, Generator, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.catalog import ModelEntry, Precision, Target, located
from core.digests import FolderDigests
from core.engines.base import Engine, Job
from core.engines.choice import Choice, choose_engine
from core.engines.gguf_files import Quantisation
from core.engines.llama_cpp import load_llama_cpp
from core.engines.llama_server import LlamaOptions
from core.engines.transformers_engine import load_engine
from core.engines.zero_gpu import Borrow, ZeroGpuEngine
from core.errors import GenerationError, StorageError, UnavailableError
from core.messages import ModelRef, Progress, Usage
from core.pool import ModelPool
from core.providers.base import Completion, ProviderCall, ProviderEvent
from core.providers.generate import read
from core.providers.hub import fetch_snapshot
from core.providers.prompt import PLAIN_TEMPLATE, build_prompt
from core.providers.weights import check_context, has_cuda, load_folder, loaded_bytes

QUANTISATIONS: Mapping[Precision, Quantisation] = {
    "auto": "F16",
    "fp32": "F32",
    "bf16": "F16",
    "int8": "Q8_0",
    "nf4": "Q4_0",
}
"""What llama.cpp has that comes nearest to a precision."""
VALUE_BYTES: Mapping[str, float] = {
    "fp32": 4, "bf16": 2, "int8": 1, "nf4": 0.5, "F32": 4, "F16": 2, "Q8_0": 1.06, "Q4_0": 0.56
}  # fmt: skip
"""What a weight takes in memory, by precision or by llama.cpp's kind: at least so much. What is
quantised keeps some tensors whole."""


class LocalProvider:
    """Runs the catalog's local models."""

    def __init__(
        self,
        pool: ModelPool[Engine],
        hub_token: str | None,
        converted: Path,
        adapted: Container[str] = (),
        borrow: Borrow | None = None,
    ) -> None:
        """`converted` is the folder for weights that an engine needs in another format.

        `adapted` are the models that have adapters at the moment. `borrow` is `spaces.GPU` on a
        ZeroGPU Space.
        """
        self._pool = pool
        self._borrow = borrow
        self._adapted = adapted
        self._hub_token = hub_token
        self._converted = converted
        self._snapshots: dict[str, Path] = {}
        """Folders fetched so far by model, so that the Hub is asked once and not for each call."""
        self._digests = FolderDigests()
        self._chosen: dict[str, Choice] = {}
        """What runs the models loaded so far; a loaded one is not loaded again for an adapter."""
        self._setting: dict[str, str] | None = None
        """What shapes all answers of this process."""

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it cancels the call.

        Raises:
            InputError: the prompt does not fit the context.
            UnavailableError: the weights can't be fetched or loaded.
            GenerationError: the model failed while generating.
        """
        target, began = call.target, time.monotonic()
        if not self._pool.has(target.model_id):
            yield Progress("loading")
        folder = yield from self._folder(target)
        load = partial(self._load, target, folder)
        with self._pool.use(target.model_id, load, self._awaited(target, folder)) as engine:
            adapter = self._adapter(engine, target)
            load_s = time.monotonic() - began
            yield from _generate(engine, call, adapter, load_s)

    def place(self, target: Target, adapters: Mapping[str, Path]) -> None:
        """Load a model of this disk with all its adapters on a ZeroGPU Space, before it serves.

        Raises:
            UnavailableError: the model or an adapter can't be loaded.
        """
        borrow, folder = self._borrow, folder_here(target.model)
        assert borrow is not None
        assert folder is not None

        def load() -> Engine:
            check_context(target.model_id, folder, target.model.context)
            weights = load_folder(target.model_id, folder, target.model.precision)
            return ZeroGpuEngine(weights, self._digests.of(folder), adapters, borrow)

        with self._pool.use(target.model_id, load, self._awaited(target, folder)):
            pass

    def close(self) -> None:
        """Do nothing: the pool is closed by whoever made it."""

    def identity(self, target: Target) -> str | None:
        """Return what the target's answers depend on besides the request, without loading it.

        JSON text with the digests of weights, chat template and adapter, and how they are run. It
        is read from the files as they are now; a model that is loaded may be older, and its
        completions tell: `cache_key.comes_from`. None: not on this disk, or not readable.
        """
        folder = folder_here(target.model)
        if folder is None:
            return None
        if self._setting is None:
            template = hashlib.sha256(PLAIN_TEMPLATE.read_bytes()).hexdigest()
            self._setting = {"device": "cuda" if has_cuda() else "cpu", "plain_template": template}
        model, adapter = target.model, target.adapter
        try:
            # The model's own chat template is one of the folder's files.
            weights = self._digests.of(folder)
            changes = None if adapter is None else self._digests.of(located(adapter.path))
        except StorageError:
            return None
        how = {
            "engine": self._choice(target, folder).engine,
            "precision": model.precision,
            "context": model.context,
            **self._setting,
        }
        return json.dumps({"weights": weights, "adapter": changes, **how})

    def engine_text(self, target: Target) -> str:
        """Return what runs a model of this disk, or would if it were loaded now, and why."""
        folder = folder_here(target.model)
        if folder is None:
            return ""
        if self._borrow is not None:
            return "transformers (on a GPU of ZeroGPU, an answer at a time on each)"
        choice = self._choice(target, folder)
        serial = self._pool.look(target.model_id, lambda engine: engine.is_serial)
        return f"{choice.engine} ({choice.reason}{'; one request at a time' if serial else ''})"

    def _load(self, target: Target, folder: Path) -> Engine:
        if self._borrow is not None:
            raise UnavailableError(
                f"{target.model_id!r} was not there when the app started, and ZeroGPU takes "
                "weights only then; restart the Space"
            )
        name, model, digest_of = target.model_id, target.model, self._digests.of
        self._chosen[name] = self._choice(target, folder)
        if self._chosen[name].engine == "transformers":
            check_context(name, folder, model.context)
            return load_engine(name, folder, model.precision, digest_of)
        options = LlamaOptions(QUANTISATIONS[model.precision], model.context, self._converted)
        return load_llama_cpp(name, folder, options, digest_of)

    def _awaited(self, target: Target, folder: Path) -> int:
        """Return what the weights will take in memory, at least; 0 for a model that is loaded."""
        if self._pool.has(target.model_id):
            return 0
        precision: str = target.model.precision
        if self._borrow is None and self._choice(target, folder).engine == "llama.cpp":
            precision = QUANTISATIONS[target.model.precision]
        elif precision == "auto" and not has_cuda():
            precision = "fp32"
        return loaded_bytes(folder, VALUE_BYTES.get(precision))

    def _choice(self, target: Target, folder: Path) -> Choice:
        if target.model_id in self._chosen and self._pool.has(target.model_id):
            return self._chosen[target.model_id]
        has_adapters = target.adapter is not None or target.model_id in self._adapted
        return choose_engine(target.model, folder, has_adapters=has_adapters)

    def _adapter(self, engine: Engine, target: Target) -> ModelRef | None:
        """Let the engine load the target's adapter, if it is what the catalog says."""
        if target.adapter is None or target.version is None:
            return None
        entry, folder = target.adapter, located(target.adapter.path)
        if entry.digest is not None and self._digests.of(folder) != entry.digest:
            raise UnavailableError(
                f"adapter {target.version!r} is not what was registered: files in {str(folder)!r} "
                "have changed; put them back, or train it again"
            )
        if entry.base_digest is not None and engine.digest != entry.base_digest:
            raise UnavailableError(
                f"adapter {target.version!r} was trained on another {target.model_id!r} than the "
                "one on this disk; put that one back, or train it again"
            )
        if engine.has_adapter(target.version):
            return ModelRef(target.version, engine.adapter_digest(target.version, folder))
        with self._pool.growing(target.model_id, loaded_bytes(folder, VALUE_BYTES["fp32"])):
            return ModelRef(target.version, engine.adapter_digest(target.version, folder))

    def _folder(self, target: Target) -> Generator[Progress, None, Path]:
        if target.model.path:
            return located(target.model.path)
        folder = self._snapshots.get(target.model_id)
        if folder is None or not folder.is_dir():
            hub, revision = str(target.model.hub), str(target.model.revision)
            folder = yield from fetch_snapshot(hub, revision, self._hub_token)
            self._snapshots[target.model_id] = folder
        return folder


def folder_here(model: ModelEntry) -> Path | None:
    """Return the model's folder if it is on this disk, complete or not."""
    if model.path:
        return located(model.path)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(model.hub), "config.json", revision=model.revision)
    return Path(found).parent if isinstance(found, str) else None


def _submit(engine: Engine, call: ProviderCall, job: Job) -> Future[None]:
    if call.together is None:
        return engine.submit(job)
    return call.together.gather(call.together_index, job, engine.submit_together)


def _generate(
    engine: Engine, call: ProviderCall, adapter: ModelRef | None, load_s: float
) -> Generator[ProviderEvent, None, None]:
    prompt = build_prompt(engine.tokenizer, call)
    room = call.target.model.context - len(prompt.tokens)
    limit = min(call.params.max_tokens, room)
    job = Job(prompt.tokens, call.params, call.target.version, limit, call.cancel, call.caller)
    future = _submit(engine, call, job)
    try:
        answer = yield from read(engine, job, future)
    except (RuntimeError, MemoryError, IndexError) as error:
        raise GenerationError(f"{call.target.id!r} failed while generating: {error}") from error
    finally:
        job.ended.set()
        wait([future])
    yield Completion(
        text=answer.text,
        model=ModelRef(call.target.model_id, engine.digest),
        adapter=adapter,
        usage=Usage(len(prompt.tokens), answer.output_tokens, job.cached_tokens),
        timings=replace(answer.timings, load_s=load_s),
        finish_reason=answer.finish_reason,
        dropped_messages=prompt.dropped_messages,
    )
