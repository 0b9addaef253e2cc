"""What a Llama folder of the Hub's format must hold, and what llama.cpp calls each part.

Everything is read from `config.json` and checked: of a folder that says something else than it
holds, or that we can't convert exactly, nothing is converted.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Any

from core.engines.generation_settings import NotConvertible, check_settings
from core.errors import UnavailableError

MODULES: Mapping[str, str] = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""The matrices of a layer: the Hub's names and llama.cpp's."""
MAX_JSON_BYTES = 1_000_000
LARGEST: Mapping[str, int] = {
    "vocab_size": 1 << 20,
    "hidden_size": 1 << 16,
    "intermediate_size": 1 << 18,
    "num_hidden_layers": 512,
    "num_attention_heads": 1024,
    "max_position_embeddings": 1 << 24,
}
"""Bounds on what a folder may claim, well above any published Llama."""


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of the model."""

    name: str
    """In the Hub's file."""
    gguf_name: str
    shape: tuple[int, ...]
    heads: int = 0
    """Heads whose rows llama.cpp rotates in pairs; 0: the rows stay in order."""


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """A Llama's measures, and the tokens that end its answers."""

    vocabulary: int
    width: int
    inner: int
    layers: int
    heads: int
    shared_heads: int
    head_width: int
    positions: int
    epsilon: float
    """Of the root mean square norms."""
    theta: float
    """Base of the rotary angles."""
    rope_factors: tuple[float, ...]
    """By which each rotary frequency is divided; empty: none is."""
    is_tied: bool
    """Whether the output layer is the embedding."""
    end_tokens: tuple[int, ...]
    """The first is the one that llama.cpp is told of."""

    @property
    def parameters(self) -> int:
        """Return how many weights the model has."""
        return sum(_product(part.shape) for part in self.parts())

    def parts(self) -> Iterator[Part]:
        """Yield every tensor of the model in the order of the layers."""
        rows = (self.vocabulary, self.width)
        yield Part("model.embed_tokens.weight", "token_embd.weight", rows)
        for layer in range(self.layers):
            theirs, ours = f"model.layers.{layer}", f"blk.{layer}"
            yield Part(
                f"{theirs}.input_layernorm.weight", f"{ours}.attn_norm.weight", (self.width,)
            )
            yield Part(
                f"{theirs}.post_attention_layernorm.weight",
                f"{ours}.ffn_norm.weight",
                (self.width,),
            )
            for module in MODULES:
                yield self.matrix(layer, module)
        yield Part("model.norm.weight", "output_norm.weight", (self.width,))
        if not self.is_tied:
            yield Part("lm_head.weight", "output.weight", rows)

    def matrix(self, layer: int, module: str) -> Part:
        """Return a layer's matrix by the name in `MODULES`."""
        whole, shared = self.heads * self.head_width, self.shared_heads * self.head_width
        shapes = {
            "self_attn.q_proj": (whole, self.width),
            "self_attn.k_proj": (shared, self.width),
            "self_attn.v_proj": (shared, self.width),
            "self_attn.o_proj": (self.width, whole),
            "mlp.gate_proj": (self.inner, self.width),
            "mlp.up_proj": (self.inner, self.width),
            "mlp.down_proj": (self.width, self.inner),
        }
        rotated = {"self_attn.q_proj": self.heads, "self_attn.k_proj": self.shared_heads}
        return Part(
            f"model.layers.{layer}.{module}.weight",
            f"blk.{layer}.{MODULES[module]}.weight",
            shapes[module],
            rotated.get(module, 0),
        )


def read_shape(folder: Path) -> LlamaShape:
    """Return the measures of the folder's model.

    Raises:
        UnavailableError: it is no Llama, or one that we can't convert; says which setting.
    """
    try:
        config = read_object(folder / "config.json")
        _check_kind(config)
        settings = config
        check_settings(config, is_whole=False)
        if (folder / "generation_config.json").is_file():
            asked = read_object(folder / "generation_config.json")
            check_settings(asked, is_whole=True)
            settings = {**config, **asked}
        return _shape(config, _end_tokens(settings.get("eos_token_id")))
    except NotConvertible as error:
        raise UnavailableError(
            f"{str(folder)!r} can't be converted for llama.cpp: {error}"
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """Return a small JSON file's object.

    Raises:
        NotConvertible: it is missing, too large, or no object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise NotConvertible(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotConvertible(f"{path.name} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise NotConvertible(f"{path.name} is no JSON") from error
    if not isinstance(value, dict):
        raise NotConvertible(f"{path.name} is no JSON object")
    return value


def _check_kind(config: Mapping[str, Any]) -> None:
    wanted: Mapping[str, tuple[Any, ...]] = {
        "model_type": ("llama",),
        "architectures": (["LlamaForCausalLM"],),
        "hidden_act": ("silu",),
        "attention_bias": (False, None),
        "mlp_bias": (False, None),
        "quantization_config": (None,),
    }
    for name, values in wanted.items():
        if config.get(name) not in values:
            raise NotConvertible(f"{name} is {config.get(name)!r}; it must be {values[0]!r}")


def _shape(config: Mapping[str, Any], ends: tuple[int, ...]) -> LlamaShape:
    sizes = {name: count_in(config, name, largest) for name, largest in LARGEST.items()}
    width, heads = sizes["hidden_size"], sizes["num_attention_heads"]
    filled = {"num_key_value_heads": heads, "head_dim": width // heads}
    filled.update({name: config[name] for name in filled if config.get(name) is not None})
    shared = count_in(filled, "num_key_value_heads", heads)
    head_width = count_in(filled, "head_dim", 4096)
    if heads % shared or head_width % 2:
        raise NotConvertible("its heads can't be shared or rotated in pairs")
    if bad := [end for end in ends if not 0 <= end < sizes["vocab_size"]]:
        raise NotConvertible(f"eos_token_id {bad[0]!r} is outside the vocabulary")
    rope = config.get("rope_parameters") or {
        "rope_theta": config.get("rope_theta", 10000.0),
        **(config.get("rope_scaling") or {}),
    }
    if not isinstance(rope, dict):
        raise NotConvertible("rope_parameters is no object")
    theta = number_in(rope, "rope_theta")
    return LlamaShape(
        vocabulary=sizes["vocab_size"],
        width=width,
        inner=sizes["intermediate_size"],
        layers=sizes["num_hidden_layers"],
        heads=heads,
        shared_heads=shared,
        head_width=head_width,
        positions=sizes["max_position_embeddings"],
        epsilon=number_in(config, "rms_norm_eps"),
        theta=theta,
        rope_factors=_rope_factors(rope, theta, head_width),
        is_tied=config.get("tie_word_embeddings") is True,
        end_tokens=ends,
    )


def _end_tokens(value: Any) -> tuple[int, ...]:
    ends = value if isinstance(value, list) else [value]
    if not ends or not all(type(end) is int for end in ends):
        raise NotConvertible(f"eos_token_id is {value!r}; it must name the tokens that end answers")
    return tuple(ends)


def count_in(config: Mapping[str, Any], name: str, largest: int) -> int:
    """Return a setting that is a whole number from 1 to `largest`.

    Raises:
        NotConvertible: it is something else.
    """
    value = config.get(name)
    if type(value) is not int or not 0 < value <= largest:
        raise NotConvertible(f"{name} is {value!r}; it must be a whole number up to {largest}")
    return value


def number_in(config: Mapping[str, Any], name: str) -> float:
    """Return a setting that is a number above 0.

    Raises:
        NotConvertible: it is something else.
    """
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise NotConvertible(f"{name} is {value!r}; it must be a number above 0")
    return float(value)


def _rope_factors(rope: Mapping[str, Any], theta: float, head_width: int) -> tuple[float, ...]:
    """Return the factors of Llama 3.1's longer context; none for plain rotary positions.

    Source: `_compute_llama3_parameters` of transformers 5.23, modeling_rope_utils.py.
    """
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return ()
    if kind != "llama3":
        raise NotConvertible(f"rope_type is {kind!r}; it must be 'default' or 'llama3'")
    factor, low, high = (
        number_in(rope, name) for name in ("factor", "low_freq_factor", "high_freq_factor")
    )
    trained = number_in(rope, "original_max_position_embeddings")
    if high <= low:
        raise NotConvertible("high_freq_factor must be above low_freq_factor")
    factors = []
    for pair in range(head_width // 2):
        turns = trained / (2 * pi * theta ** (2 * pair / head_width))
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return tuple(factors)


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
