"""Examples from inside: what people liked and corrected in their conversations.

A source is whatever yields examples or the reason why something is none; the store's feedback is
one, votes and traces can be others. Earlier answers of a conversation are read, not learnt: nobody
liked them. The system prompt and the tools are no part of a stored conversation, so answers that
call tools are refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from core.errors import InputError
from core.messages import JsonValue, Message
from core.rows.refusals import Refusal, Refusals
from core.store import Store, StoredMessage
from core.store.records import read_messages
from core.store.tables import corrections, feedback, messages
from training.datasets.drafts import draft
from training.datasets.example import KINDS, Example, Kind
from training.datasets.versions import Version, list_versions


class Source(Protocol):
    """Yields examples that the app itself has seen."""

    name: str
    """What it is, in the manifest: `feedback`."""

    def examples(self) -> Iterator[Example | Refusal]:
        """Yield an example, or why there is none, for each thing that could be one."""
        ...


@dataclass(frozen=True, slots=True)
class LogsReport:
    """What a source gave."""

    version: Version
    refused: int
    reasons: dict[str, int]
    is_unchanged: bool

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as JSON."""
        return {
            "dataset": self.version.reference,
            "path": str(self.version.path),
            "digest": self.version.digest,
            "read": self.version.rows,
            "refused": self.refused,
            "reasons": self.reasons,
            "is_unchanged": self.is_unchanged,
        }


def import_source(home: Path, name: str, source: Source) -> LogsReport:
    """Write a version of what a source yields now.

    Raises:
        InputError: it yields nothing, or the name can't be one.
        StorageError: the source can't be read or the version not written.
    """
    known = {version.digest for version in list_versions(home, name)}
    refusals = Refusals()
    with draft(home, name) as new:
        for found in source.examples():
            if isinstance(found, Refusal):
                refusals.add(found)
            else:
                new.add(found)
        if not new.rows:
            raise InputError(f"there is nothing to learn in {source.name}{refusals.first()}")
        new.attach_refusals(refusals)
        version = new.commit(
            {"command": "from-logs", "source": source.name, "refused": refusals.total}
        )
    reasons = dict(refusals.reasons.most_common())
    return LogsReport(version, refusals.total, reasons, version.digest in known)


class StoreFeedback:
    """Likes and corrections of all visitors, as one kind of example.

    - `sft`: corrected answers as corrected, and liked ones;
    - `preference`: the correction before the answer that it corrects;
    - `unpaired`: liked answers as good ones, disliked ones as bad ones.
    """

    def __init__(self, store: Store, kind: Kind = "sft") -> None:
        if kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self.name = f"feedback ({kind})"
        self._store = store
        self._make = MAKERS[kind]

    def examples(self) -> Iterator[Example | Refusal]:
        """Yield one example or refusal for each answer with feedback of this kind.

        Raises:
            StorageError: the store can't be read.
        """
        for conversation in self._conversations():
            with self._store.read() as connection:
                turns = read_messages(connection, conversation)
            for place, turn in enumerate(turns):
                if turn.message.role != "assistant":
                    continue
                try:
                    example = self._make(conversation, turns[:place], turn)
                except InputError as error:
                    yield Refusal(f"message {turn.id}", str(error))
                    continue
                if example is not None:
                    yield example

    def _conversations(self) -> list[str]:
        judged = [
            select(messages.c.conversation_id).join(table, table.c.message_id == messages.c.id)
            for table in (feedback, corrections)
        ]
        query = judged[0].union(judged[1])
        with self._store.read() as connection:
            return sorted(connection.scalars(query))


Make = Callable[[str, Sequence[StoredMessage], StoredMessage], Example | None]


def _answer(
    conversation: str, before: Sequence[StoredMessage], turn: StoredMessage
) -> Example | None:
    if turn.correction is None and not turn.liked:
        return None
    given = _as_read(before)
    return Example(
        id=turn.id,
        messages=(*given, _as_said(turn)),
        group=conversation,
        source="correction" if turn.correction is not None else "like",
        muted=_answers(given),
    )


def _pair(
    conversation: str, before: Sequence[StoredMessage], turn: StoredMessage
) -> Example | None:
    if turn.correction is None:
        return None
    return Example(
        id=turn.id,
        messages=_as_read(before),
        group=conversation,
        source="correction",
        kind="preference",
        chosen=(_as_said(turn),),
        rejected=(turn.message,),
    )


def _thumb(
    conversation: str, before: Sequence[StoredMessage], turn: StoredMessage
) -> Example | None:
    if turn.liked is None:
        return None
    given = _as_read(before)
    return Example(
        id=turn.id,
        messages=(*given, turn.message),
        group=conversation,
        source="like" if turn.liked else "dislike",
        kind="unpaired",
        label=turn.liked,
        muted=_answers(given),
    )


MAKERS: dict[Kind, Make] = {"sft": _answer, "preference": _pair, "unpaired": _thumb}


def _as_read(turns: Sequence[StoredMessage]) -> tuple[Message, ...]:
    """Return what the model read: corrected where a person corrected it, as the chat sends it."""
    return tuple(_as_said(turn) for turn in turns)


def _as_said(turn: StoredMessage) -> Message:
    if turn.correction is None:
        return turn.message
    return Message(turn.message.role, turn.correction)


def _answers(turns: Sequence[Message]) -> tuple[int, ...]:
    return tuple(index for index, turn in enumerate(turns) if turn.role == "assistant")
