"""A wire between browser and app that keeps every byte that the app sends, heads included."""

import contextlib
import re
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

ENCODING = re.compile(rb"(?i)(\r\naccept-encoding:)[^\r\n]*")
CHUNK = re.compile(rb"\r\n[0-9a-f]{1,8}\r\n")
"""What stands between two pieces of a streamed body."""


class Recorder:
    """Forwards to an app; asks it for plain text, so that what it sends can be searched."""

    def __init__(self, target: str) -> None:
        self._target = ("127.0.0.1", urlsplit(target).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._kept = bytearray()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Recorder":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def mark(self) -> int:
        """Return how much was sent so far."""
        with self._lock:
            return len(self._kept)

    def since(self, mark: int) -> str:
        """Return what was sent after a mark, in lower case, streamed pieces joined."""
        with self._lock:
            kept = bytes(self._kept[mark:])
        return CHUNK.sub(b"", kept).decode("utf-8", "replace").lower()

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(browser,), daemon=True).start()

    def _join(self, browser: socket.socket) -> None:
        """Carry both ways until an end hangs up."""
        with browser, contextlib.suppress(OSError), socket.create_connection(self._target) as app:
            asking = threading.Thread(target=self._carry, args=(browser, app), daemon=True)
            asking.start()
            self._carry(app, browser, is_answer=True)
            asking.join()

    def _carry(
        self, source: socket.socket, sink: socket.socket, *, is_answer: bool = False
    ) -> None:
        try:
            while piece := source.recv(65536):
                if is_answer:
                    with self._lock:
                        self._kept += piece
                sink.sendall(piece if is_answer else ENCODING.sub(rb"\1 identity", piece))
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
