"""Ollama's Modelfile for an exported GGUF: chat template, ends, context."""

from pathlib import Path
from typing import Any

from core.errors import InputError
from core.providers.weights import load_tokenizer

CHATML = "<|im_start|>{role}\n{text}<|im_end|>\n"
GO_CHATML = """{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
PROBE = (("system", "Be brief."), ("user", "Who?"), ("assistant", "Ada."), ("user", "Why?"))


def modelfile(base: Path, gguf: str, context: int) -> str:
    """Return a Modelfile for a GGUF beside it.

    Raises:
        InputError: the model's chat template is none that we can write in Ollama's language.
        UnavailableError: the tokenizer is missing or damaged.
    """
    tokenizer = load_tokenizer(base.name, base)
    if not is_chatml(tokenizer):
        raise InputError(
            "Ollama wants chat templates in a language of its own, and we can write ChatML alone; "
            "export 'gguf', which has the model's own template, and write the Modelfile by hand"
        )
    return (
        "# Tools have no place in this template; offer them in the system message.\n"
        f'FROM ./{gguf}\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx {context}\n'
        f'TEMPLATE """{GO_CHATML}"""\n'
    )


def is_chatml(tokenizer: Any) -> bool:
    """Say whether a tokenizer's template writes plain ChatML."""
    if not tokenizer.chat_template:
        return False
    turns = [{"role": role, "content": text} for role, text in PROBE]
    said = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    wanted = "".join(CHATML.format(role=role, text=text) for role, text in PROBE)
    return bool(said == f"{wanted}<|im_start|>assistant\n")
