"""Answers that tell which model wrote them: such a battle is not blind.

Two things tell: a coined name of the model's own (its id, `gpt-4o`, `Qwen`) anywhere in the answer,
unless the question asks about one of them; and any model's or maker's name, true or not, where the
answer introduces itself: "I am Claude", "I was trained by Google", "fui treinado pela OpenAI".
Names that are ordinary words as well (llama, lead, meta, google) count only there. What an answer
gives away by its style is not seen.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from core.catalog import Catalog, Target

COINED: Mapping[str, tuple[str, ...]] = {
    "gpt": ("ChatGPT", "OpenAI"),
    "claude": ("Anthropic",),
    "qwen": ("Qwen", "Alibaba Cloud", "Tongyi"),
    "mistral": ("Mistral AI", "Mixtral"),
    "smollm": ("SmolLM", "SmolLM2", "SmolLM3"),
    "tinyllama": ("TinyLlama",),
    "deepseek": ("DeepSeek",),
    "gemini": ("DeepMind",),
    "grok": ("xAI",),
    "glm": ("ChatGLM", "Zhipu"),
    "vicuna": ("Vicuna", "LMSYS"),
    "kimi": ("Moonshot AI",),
    "hermes": ("Nous Research",),
}
"""Family, as it stands in ids, to names that mean nothing else."""
ORDINARY = (
    *("Llama", "Meta", "Meta AI", "GPT", "Claude", "Bard", "Gemini", "Gemma", "PaLM", "Google"),
    *("Mistral", "Phi", "Microsoft", "Grok", "Falcon", "Command", "Cohere", "Granite", "IBM"),
    *("Nemotron", "NVIDIA", "Kimi", "Yi", "OLMo", "Hugging Face", "HuggingFace", "Alibaba"),
    *("Apple", "Amazon", "Nova", "Baidu", "Ernie", "Hermes", "Koala", "Alpaca", "Dolly"),
)
"""Names that are words too, or makers of other things: they tell only in an introduction."""

SELF = (
    r"\bI(?: am|['’]m) (?:called |named )?",
    r"\bmy name(?: is|['’]s) ",
    r"\bcall me ",
    r"\bthis is ",
    r"\byou(?:['’]re| are) talking to ",
    r"\bsou ",
    r"\bme chamo ",
    r"\bmeu nome é ",
)
"""How an answer introduces itself, in English and Portuguese; an article may follow, or not."""
MADE = (
    r"\b(?:trained|created|developed|built|made|designed|fine-tuned|powered) by ",
    r"\b(?:treinad|criad|desenvolvid|feit|projetad)[oa] p(?:or|el[oa]) ",
)
"""How it says who made it, within a sentence in which it speaks of itself."""
SPEAKER = r"\b(?:I|me|my|model|assistant|AI|sou|fui|modelo|assistente|IA)\b[^.!?\n]{0,80}?"
ARTICLE = r"(?:(?:an?|the|o|um|uma) )?"
TEAM = r"(?:(?:the|a|o) )?(?:(?:team|researchers|people|equipe) (?:at|of|from|d[aeo]) )?"
END = r"(?![\w-])(?! (?:singer|guitar|role|the way))"
"""After a name that is a word: no longer word, and none of its usual company."""


def names_itself(catalog: Catalog, model: str, question: str, answer: str) -> bool:
    """Say whether an answer of a catalog id tells which model wrote it."""
    own, anywhere = _names(catalog.targets(model))
    asked = _squeezed(question)
    is_asked_about = any(_squeezed(name) in asked for name in anywhere)
    if anywhere and not is_asked_about and _pattern(anywhere).search(answer):
        return True
    return _introduction(own).search(answer) is not None


def _names(targets: Sequence[Target]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the targets' own names, and those among them that mean nothing else."""
    own = {name for target in targets for name in _own(target)}
    ids = " ".join(own).lower()
    families = {name for family, names in COINED.items() if family in ids for name in names}
    coined = families | {name for name in own if re.search(r"\d", name)}
    return tuple(sorted(own)), tuple(sorted(coined))


def _own(target: Target) -> Iterator[str]:
    """Yield what a target is called: in the catalog, on the Hub, on its server, and each short."""
    model = target.model
    for name in (target.model_id, model.hub, model.served_model):
        if not name:
            continue
        short = name.rpartition("/")[2]
        yield short
        # "Llama-3.1-8B-Instruct" is also called "Llama 3".
        if (head := re.match(r"[A-Za-z]+[-_ ]?\d+", short)) is not None:
            yield head[0]


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(_spelt, names))})(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=256)
def _introduction(own: tuple[str, ...]) -> re.Pattern[str]:
    coined = [name for names in COINED.values() for name in names]
    names = "|".join(map(_spelt, (*own, *coined, *ORDINARY)))
    is_self = rf"(?:{'|'.join(SELF)}){ARTICLE}"
    is_made = rf"{SPEAKER}(?:{'|'.join(MADE)}){TEAM}"
    return re.compile(rf"(?:{is_self}|{is_made})(?:{names}){END}", re.IGNORECASE)


def _spelt(name: str) -> str:
    """Return a pattern of a name that takes any or no sign between its parts."""
    parts = re.findall(r"[^\W\d_]+|\d+", name)
    return "[-_. ]?".join(map(re.escape, parts))


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()
