"""Tiny random models in the Hub's own format: real weights, real tokenizers, nothing learnt."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

TEXT = "Good evening. Who sits at which table? The menu, the music and the guests are ready. " * 8
SPECIAL = ("<|end|>", "<|pad|>")
TEMPLATE = (
    "{%- if tools %}{{ 'tools: ' + tools | tojson + '\n' }}{%- endif %}"
    "{%- for m in messages %}{{ m.role + ': ' + m.content + '<|end|>' }}"
    "{%- for call in m.tool_calls or [] %}"
    "{{ call.function.name + call.function.arguments.guest }}{%- endfor %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ 'assistant: ' }}{%- endif %}"
)
PLAIN_CHAT = "{%- for m in messages %}{{ m.role + ': ' + m.content }}{%- endfor %}"
"""A template that has no place for tools."""
CONTEXT = 2048


def save_tokenizer(folder: Path, template: str | None) -> int:
    """Train a byte-level tokenizer on a few words; return its vocabulary's size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIAL[0], pad_token=SPECIAL[1]
    )
    wrapped.chat_template = template
    wrapped.save_pretrained(folder)
    return len(wrapped)


def save_llama(folder: Path, *, seed: int = 0, template: str | None = TEMPLATE) -> Path:
    """Write a Llama of some 100,000 random parameters that never ends by itself."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = save_tokenizer(folder, template)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[:2] = 0  # Neither of the special tokens is ever the likeliest.
    model.save_pretrained(folder)
    return folder


def save_gpt2(folder: Path) -> Path:
    """Write a GPT-2 without a chat template."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    size = save_tokenizer(folder, None)
    config = GPT2Config(
        vocab_size=size,
        n_embd=32,
        n_layer=1,
        n_head=2,
        n_positions=CONTEXT,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, *, strength: float = 1.0, rank: int = 4) -> Path:
    """Write a LoRA adapter whose effect is as large as `strength`; peft itself saves it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    tuned = get_peft_model(model, config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=strength)
    tuned.save_pretrained(folder)
    return folder


def change_config(folder: Path, **values: object) -> None:
    """Set values in `config.json`."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def drop_tensor(folder: Path, name: str) -> None:
    """Take one tensor out of the weights."""
    path = folder / "model.safetensors"
    tensors = {key: value for key, value in load_file(path).items() if key != name}
    assert len(tensors) < len(load_file(path))
    save_file(tensors, path, metadata={"format": "pt"})
