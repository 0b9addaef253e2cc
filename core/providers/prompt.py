"""From messages to tokens: the tokenizer's own chat template, and what fits the context."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from core.messages import Message
from core.providers.base import ProviderCall, failed
from core.settings import PROJECT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PLAIN_TEMPLATE = PROJECT / "assets" / "prompts" / "plain_template.jinja"
"""For models that know no chat, such as GPT-2: roles as words."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in tokens."""

    tokens: list[int]
    dropped_messages: int
    """Oldest messages left out, when the call allows it."""


def build_prompt(tokenizer: "PreTrainedTokenizerFast", call: ProviderCall) -> Prompt:
    """Return the prompt of the call, with the oldest turns left out if it allows that.

    Raises:
        InputError: the prompt exceeds the context, or the template can't render it.
    """
    context = call.target.model.context
    room = min(call.params.max_tokens, context // 4) if call.trim_history else 1
    messages = list(call.messages)
    while True:
        tokens = _render(tokenizer, messages, call)
        if len(tokens) + room <= context:
            return Prompt(tokens, len(call.messages) - len(messages))
        shorter = _without_oldest_turn(messages)
        if not call.trim_history or shorter is None:
            error = InputError(
                f"the prompt has {len(tokens)} tokens and {call.target.id!r} reads at most "
                f"{context}, the answer included; shorten it or start a new conversation"
            )
            raise failed(error, "context_too_long")
        messages = shorter


def _without_oldest_turn(messages: list[Message]) -> list[Message] | None:
    """Leave out the first turn after the system prompt; None if only one is left."""
    start = 1 if messages and messages[0].role == "system" else 0
    for index in range(start + 1, len(messages)):
        if messages[index].role == "user":
            return messages[:start] + messages[index:]
    return None


def _render(
    tokenizer: "PreTrainedTokenizerFast", messages: list[Message], call: ProviderCall
) -> list[int]:
    from jinja2 import TemplateError

    tools = [tool.to_openai() for tool in call.tools] or None
    if tokenizer.chat_template:
        template = tokenizer.get_chat_template(tools=tools)  # one of several, for some models
    else:
        template = PLAIN_TEMPLATE.read_text(encoding="utf-8")
    if tools and "tools" not in template:
        raise InputError(
            f"{call.target.id!r} has no place for tools in its template; leave them out"
        )
    try:
        encoded = tokenizer.apply_chat_template(
            [_as_template(message) for message in messages],
            tools=tools,
            chat_template=template,
            add_generation_prompt=True,
            return_dict=True,
            truncation=False,
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise InputError(
            f"the template of {call.target.id!r} refuses the messages: {error}"
        ) from error
    tokens: list[int] = encoded["input_ids"]
    return tokens


def _as_template(message: Message) -> dict[str, Any]:
    """Return the message as chat templates expect it: arguments as an object."""
    value: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        value["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        value["tool_call_id"] = message.tool_call_id
    return value


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
