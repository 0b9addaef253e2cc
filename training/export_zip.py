"""An export as one file to send: a zip that is made while it is sent, without a second copy."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

PIECE_BYTES = 2**20


def zipped(folder: Path) -> Iterator[bytes]:
    """Yield a zip of the folder's files, under the folder's name; nothing is compressed.

    Weights hardly get smaller, and packing them would take longer than sending them.
    """
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo.from_file(
                path, path.relative_to(folder.parent).as_posix(), strict_timestamps=False
            )
            with path.open("rb") as file, archive.open(entry, "w") as target:
                while piece := file.read(PIECE_BYTES):
                    target.write(piece)
                    yield pieces.taken()
    yield pieces.taken()


class _Pieces(io.RawIOBase):
    """Keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]  # the base class says `object`
        self._written += piece
        return len(piece)

    def taken(self) -> bytes:
        found = bytes(self._written)
        self._written.clear()
        return found
