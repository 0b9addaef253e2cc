"""What the catalog says of a local model, against what the model is and how it is run."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.engines.base import Engine
from core.errors import UnavailableError
from core.pool import ModelPool
from core.providers.local import LocalProvider
from tests import tiny_models
from tests.core.test_local_provider import call_of, run, target_of
from tests.tiny_models import CONTEXT


def test_a_context_beyond_the_positions_that_were_learnt_is_refused_at_load(tmp_path):
    pool: ModelPool[Engine] = ModelPool(10**9)
    provider = LocalProvider(pool, None, tmp_path)
    target = target_of(tiny_models.save_gpt2(tmp_path / "positions"))
    longer = replace(target, model=replace(target.model, context=CONTEXT + 1))
    with pytest.raises(UnavailableError, match=r"has 2,048 positions .* write context: 2048"):
        run(provider, call_of(longer))
    assert run(provider, call_of(target)).usage.output_tokens > 0
    pool.close()


def test_the_engine_that_is_told_is_the_one_that_is_loaded(tmp_path, tiny_folder):
    adapted_models: list[str] = []
    pool: ModelPool[Engine] = ModelPool(10**9)
    provider = LocalProvider(pool, None, tmp_path, adapted_models)
    target = target_of(tiny_folder)
    told = provider.engine_text(target)
    assert told == "transformers (so small a model answers many soonest, in full precision)"
    run(provider, call_of(target))
    adapted_models.append(target.model_id)
    assert provider.engine_text(target) == told
    pool.unload(target.model_id)
    assert provider.engine_text(target) == "transformers (it mixes adapters in one batch)"
    alone = target_of(serial(tmp_path / "serial"))
    assert "one request at a time" not in provider.engine_text(alone)
    run(provider, call_of(alone))
    assert provider.engine_text(alone).endswith("; one request at a time)")
    pool.close()


def serial(folder: Path) -> Path:
    """Write a model whose rows can't share a forward: its angles follow from the longest one."""
    tiny_models.save_llama(folder)
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    tiny_models.change_config(folder, rope_parameters=rope)
    return folder
