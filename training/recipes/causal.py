"""Whether a base predicts the next token: by its architecture's name, and by what it does.

transformers loads BERT as a causal model too, with a warning. It would see the tokens that it is to
learn, reach a loss of nearly nothing, and say nothing of use.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InputError
from core.providers.weights import import_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = 8
TOLERANCE = 1e-4
"""By how much what was said before may change with the last token, relative; rounding alone."""


def check_architecture(name: str, folder: Path) -> None:
    """Refuse a base whose architecture can't be that of a causal language model.

    Raises:
        InputError: it can't; a folder that can't be read passes, for loading says why.
    """
    import_transformers()
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    try:
        found = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if type(found) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise _refused(name, found.model_type)


def check_causal(name: str, model: "PreTrainedModel") -> None:
    """Refuse a base in which a token changes what is predicted before it.

    Raises:
        InputError: it does.
    """
    import torch

    vocabulary = model.config.get_text_config().vocab_size
    tokens = torch.arange(TOKENS, device=model.device) % vocabulary  # (tokens,)
    other = tokens.clone()
    other[-1] = (other[-1] + 1) % vocabulary
    with torch.no_grad():
        before, after = (
            model(input_ids=each[None]).logits[0, :-1].float() for each in (tokens, other)
        )
    if (before - after).abs().max() > TOLERANCE * before.abs().max():
        raise _refused(name, str(model.config.model_type))


def _refused(name: str, architecture: str) -> InputError:
    return InputError(
        f"{name!r} is no causal language model ({architecture!r}); choose a base that predicts "
        "the next token from those before it"
    )
