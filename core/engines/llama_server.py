"""llama.cpp's server object: how it is planned and started, and who may use it when.

The package also opens an HTTP server: here on a Unix socket that is removed at once, so nobody
can reach it.
"""

import math
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.engines.base import SMALL_MODEL
from core.engines.gguf_files import INSTALL, Quantisation
from core.engines.llama_config import LlamaShape
from core.engines.measures import cores
from core.errors import MissingExtraError, UnavailableError

MAX_SLOTS = 16
"""Answers generated at once; more wait."""
CACHE_BYTES = 256 * 2**20
"""Least budget for keys and values; large models get half of their weights' size."""
BATCH = 512
"""Prompt tokens read in one step, during which other answers wait."""


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """How a folder is run."""

    quantisation: Quantisation
    context: int
    """Tokens of prompt and answer together, of each answer."""
    cache: Path
    """Folder for converted files."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the server is started with, apart from adapters."""

    file: Path
    slots: int
    slot_tokens: int
    threads: int
    is_exact: bool
    """Whether keys and values are kept as 32-bit floats, as the reference does."""
    own_bytes: int
    """What weights, keys and values of all slots and the largest step's results take."""


@dataclass(slots=True)
class Door:
    """Lets many in at once, or one alone, who goes before newcomers."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    inside: int = 0
    is_shut: bool = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Come in beside others, once nobody is alone or waits to be."""
        with self.changed:
            self.changed.wait_for(lambda: not self.is_shut)
            self.inside += 1
        try:
            yield
        finally:
            with self.changed:
                self.inside -= 1
                self.changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody is inside; only one thread at a time may ask for it."""
        with self.changed:
            self.is_shut = True
        try:
            with self.changed:
                self.changed.wait_for(lambda: not self.inside)
            yield
        finally:
            with self.changed:
                self.is_shut = False
                self.changed.notify_all()


def import_library() -> Any:
    """Return the package.

    Raises:
        MissingExtraError: it is not installed, or not for this machine.
    """
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtraError(f"llama.cpp needs the package xllamacpp: {INSTALL}") from error
    return xllamacpp


def plan_for(shape: LlamaShape, file: Path, options: LlamaOptions) -> Plan:
    """Choose how many answers at once, within the budget, and how many threads."""
    is_exact = options.quantisation == "F32"
    slot_tokens = math.ceil(options.context / 256) * 256
    token_bytes = 2 * shape.layers * shape.shared_heads * shape.head_width * (4 if is_exact else 2)
    weights = file.stat().st_size
    budget = max(CACHE_BYTES, weights // 2)
    slots = max(1, min(MAX_SLOTS, budget // (slot_tokens * token_bytes)))
    # One core is left to the web server: a thread that waits for a busy core stops all others.
    threads = 1 if shape.parameters < SMALL_MODEL else max(1, cores() - 1)
    step = 2 * shape.inner + 4 * shape.width + (shape.heads * slot_tokens if is_exact else 0)
    own_bytes = weights + slots * slot_tokens * token_bytes + BATCH * step * 4
    return Plan(file, slots, slot_tokens, threads, is_exact, own_bytes)


def start(plan: Plan, adapters: Sequence[Path]) -> Any:
    """Return a running server that nobody can reach but through the object.

    The package keeps Python's global lock meanwhile: all threads stand still for some 0.3 s per
    100 MB of weights and caches.

    Raises:
        UnavailableError: llama.cpp can't load the file or an adapter.
    """
    library = import_library()
    params = _params(library, plan)
    params.lora_init_without_apply = True
    params.lora_adapters = [library.CommonAdapterLoraInfo(str(file), 0.0) for file in adapters]
    params.api_keys = [secrets.token_hex(32)]
    room = tempfile.mkdtemp(prefix="understudy-")
    params.hostnames = [f"{room}/llama.sock"]
    try:
        server = library.Server(params)
        # An object that goes before its loop has begun waits for that loop for ever.
        server.handle_completions({"prompt": [0], "max_tokens": 1})
        return server
    except RuntimeError as error:
        raise UnavailableError(
            f"llama.cpp can't load {str(plan.file)!r}; delete it and try again"
        ) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _params(library: Any, plan: Plan) -> Any:
    params = library.CommonParams()
    params.model.path = str(plan.file)
    params.n_parallel = plan.slots
    params.n_ctx = plan.slots * plan.slot_tokens
    params.n_batch = params.n_ubatch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = plan.threads
    if plan.is_exact:
        params.cache_type_k = params.cache_type_v = library.ggml_type.GGML_TYPE_F32
        # Fused attention reads such a cache six times as slowly (xllamacpp 2026.10).
        params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.load_mode = library.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.fit_params = False
    # Beyond the slots' own, prompts would be kept in up to 8 GB.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.ui = params.endpoint_slots = False
    params.n_threads_http = 1
    params.verbosity = -1
    return params
