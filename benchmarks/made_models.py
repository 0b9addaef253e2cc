"""Models and adapters that benchmarks make for themselves: of random weights."""

import shutil
import tempfile
from pathlib import Path

from servers import PROJECT

LEAD = PROJECT / "assets" / "models" / "lead"


def make_adapter(folder: Path, seed: int) -> Path:
    """Save a random LoRA of rank 16 on all linear layers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    place = Path(tempfile.mkdtemp(prefix="understudy-adapter-"))
    get_peft_model(model, config).save_pretrained(place)
    return place


def make_mid() -> Path:
    """Save a random Llama of 80 M parameters with the lead's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = Path(tempfile.mkdtemp(prefix="understudy-mid-"))
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=1536,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=4,
        intermediate_size=2048,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(LEAD / name, folder / name)
    return folder
