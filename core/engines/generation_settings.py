"""What a model asks for in `generation_config.json`, and whether llama.cpp can do without it."""

from collections.abc import Mapping
from typing import Any

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "repetition_penalty": (1, None),
    "encoder_repetition_penalty": (1, None),
    "no_repeat_ngram_size": (0, None),
    "encoder_no_repeat_ngram_size": (0, None),
    "min_length": (0, None),
    "min_new_tokens": (0, None),
    "bad_words_ids": (None, []),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "forced_decoder_ids": (None, []),
    "suppress_tokens": (None, []),
    "begin_suppress_tokens": (None, []),
    "sequence_bias": (None, {}, []),
    "exponential_decay_length_penalty": (None,),
    "guidance_scale": (1, None),
    "renormalize_logits": (False, None),
    "remove_invalid_values": (False, None),
    "watermarking_config": (None,),
    "num_beams": (1, None),
    "num_beam_groups": (1, None),
    "diversity_penalty": (0, None),
    "penalty_alpha": (0, None),
    "prompt_lookup_num_tokens": (None,),
    "stop_strings": (None, []),
}
"""Settings that `transformers` follows also where a request says how to choose tokens, and the
values with which they ask for nothing."""
FREE: frozenset[str] = frozenset(
    {
        "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
        "transformers_version", "_from_model_config", "_commit_hash",
        # The request's own, or of no effect on a greedy choice or on the tokens at all.
        "do_sample", "temperature", "top_p", "top_k", "top_h", "min_p", "typical_p",
        "epsilon_cutoff", "eta_cutoff", "max_length", "max_new_tokens", "max_time",
        "early_stopping", "length_penalty", "num_return_sequences",
        "use_cache", "cache_implementation", "cache_config", "disable_compile", "compile_config",
        "output_scores", "output_logits", "output_attentions", "output_hidden_states",
        "return_dict_in_generate", "return_legacy_cache", "is_assistant", "trust_remote_code",
        "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
        "assistant_lookbehind", "target_lookbehind", "assistant_early_exit",
    }
)  # fmt: skip
"""Settings that may have any value."""


class NotConvertible(Exception):
    """Why a folder can't be converted; `UnavailableError` is made of it where it is named."""


def check_settings(settings: Mapping[str, Any], *, is_whole: bool) -> None:
    """Refuse settings that llama.cpp would drop, so that its answers would be others.

    `is_whole` says that they are a generation config, whose other names are unknown settings; the
    model's own config has names of its own.

    Raises:
        NotConvertible: says which one.
    """
    for name, value in settings.items():
        wanted = NEUTRAL.get(name, (None,) if is_whole and name not in FREE else (value,))
        if value not in wanted:
            raise NotConvertible(
                f"generation setting {name} is {repr(value)[:100]}, which llama.cpp would drop; "
                "choose engine: transformers"
            )
