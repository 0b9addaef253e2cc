"""Models in this process: `transformers`, one owning thread per model, tokens as they come.

A stop request ends a generation within one token. Requests for one model wait their turn;
requests for different models run side by side.
"""

import time
from collections.abc import Generator
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.catalog import Target, located
from core.errors import GenerationError
from core.messages import ModelRef, Progress, Usage
from core.pool import ModelPool
from core.providers.base import Completion, ProviderCall, ProviderEvent
from core.providers.generate import Job, read, submit
from core.providers.hub import fetch_snapshot
from core.providers.prompt import build_prompt
from core.providers.weights import LoadedModel, load_folder


class LocalProvider:
    """Runs the catalog's local models."""

    def __init__(self, pool: ModelPool[LoadedModel], hub_token: str | None) -> None:
        self._pool = pool
        self._hub_token = hub_token
        self._snapshots: dict[str, Path] = {}
        """Folders fetched so far by model, so that the Hub is asked once and not for each call."""

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
        load = partial(load_folder, target.model_id, folder, target.model.precision)
        with self._pool.use(target.model_id, load) as model:
            adapter = _adapter(model, target)
            load_s = time.monotonic() - began
            yield from _generate(model, call, adapter, load_s)

    def _folder(self, target: Target) -> Generator[Progress, None, Path]:
        if target.model.path:
            return located(target.model.path)
        folder = self._snapshots.get(target.model_id)
        if folder is None or not folder.is_dir():
            hub, revision = str(target.model.hub), str(target.model.revision)
            folder = yield from fetch_snapshot(hub, revision, self._hub_token)
            self._snapshots[target.model_id] = folder
        return folder


def _adapter(model: LoadedModel, target: Target) -> ModelRef | None:
    if target.adapter is None or target.version is None:
        return None
    digest = model.adapter_digest(target.version, located(target.adapter.path))
    return ModelRef(target.version, digest)


def _generate(
    model: LoadedModel, call: ProviderCall, adapter: ModelRef | None, load_s: float
) -> Generator[ProviderEvent, None, None]:
    prompt = build_prompt(model.tokenizer, call)
    room = call.target.model.context - len(prompt.tokens)
    limit = min(call.params.max_tokens, room)
    job = Job(prompt.tokens, call.params, call.target.version, limit, call.cancel)
    future = submit(model, job)
    try:
        answer = yield from read(model, job, future)
    except (RuntimeError, MemoryError) as error:
        raise GenerationError(f"{call.target.id!r} failed while generating: {error}") from error
    finally:
        job.ended.set()
        wait([future])
    yield Completion(
        text=answer.text,
        model=ModelRef(call.target.model_id, model.digest),
        adapter=adapter,
        usage=Usage(len(prompt.tokens), answer.output_tokens),
        timings=replace(answer.timings, load_s=load_s),
        finish_reason=answer.finish_reason,
        dropped_messages=prompt.dropped_messages,
    )
