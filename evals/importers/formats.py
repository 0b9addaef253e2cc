"""The formats that datasets are imported from, by name."""

from collections.abc import Mapping

from evals.importers.bfcl import from_bfcl
from evals.importers.clinc150 import from_clinc150
from evals.importers.conversations import from_messages, from_prompt_completion
from evals.importers.hermes import from_hermes
from evals.importers.items import Read, by_row
from evals.importers.questions import from_gsm8k, from_ifeval
from evals.importers.squad import from_squad
from evals.importers.xlam import from_xlam

FORMATS: Mapping[str, Read] = {
    "messages": by_row(from_messages),
    "prompt_completion": by_row(from_prompt_completion),
    "bfcl": from_bfcl,
    "xlam": by_row(from_xlam),
    "hermes": by_row(from_hermes),
    "gsm8k": by_row(from_gsm8k),
    "ifeval": by_row(from_ifeval),
    "clinc150": from_clinc150,
    "squad": from_squad,
}
