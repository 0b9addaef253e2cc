"""Text from tokens as they come: what was shown never changes, and joins to the tokenizer's text.

A token's text depends on its neighbours: bytes of one character, a space at the beginning. So
tokens are decoded with some before them, and only what no later token can change is shown.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

HALF = "\ufffd"
"""What stands for bytes that are no whole character, or none yet."""
BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""A token of one byte: next to others its text is that of all of them, or of none (Llama 2)."""


class TextStream:
    """Decodes one answer; special tokens are left out."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self._backend = tokenizer.backend_tokenizer
        self._silent = {
            token for token, added in tokenizer.added_tokens_decoder.items() if added.special
        }
        self._tokens: list[int] = []
        """From the beginning of the window; it has tokens whose text is known before the new."""
        self._settled = 0
        """So many of them begin the window, all of whose text was shown."""
        self._shown = 0
        """Characters of the window's text that were shown."""
        self._end = 0
        """So many of the tokens end with one whose text the next can't take back."""

    def push(self, tokens: Sequence[int]) -> str:
        """Return what can be shown now."""
        for token in tokens:
            self._tokens.append(token)
            if token not in self._silent:
                name = self._backend.id_to_token(token)
                if name is not None and not BYTE.fullmatch(name):
                    self._end = len(self._tokens)
        if self._end == self._settled:
            return ""
        text = self._decoded(0, self._end)
        whole = text.rstrip(HALF)
        shown, self._shown = self._shown, max(self._shown, len(whole))
        if whole == text:
            self._settle()
        return whole[shown:]

    def flush(self) -> str:
        """Return what was held back, at the end of the tokens."""
        return self._decoded(0, len(self._tokens))[self._shown :]

    def _settle(self) -> None:
        """Let the window begin with the tokens that were settled last, if they have any text.

        Without text before them, new ones would be taken for the beginning of the answer.
        """
        tail = self._decoded(self._settled, self._end)
        if tail:
            self._tokens = self._tokens[self._settled :]
            self._end -= self._settled
            self._shown = len(tail)
        self._settled = self._end

    def _decoded(self, first: int, end: int) -> str:
        text: str = self._backend.decode(self._tokens[first:end], skip_special_tokens=True)
        return text
