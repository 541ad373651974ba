"""A viewer of a wall that is no browser: it shows some patients to nobody, for measuring.

It does what the page does (docs/wall.md): it asks for the signal of the patients that it knows,
answers every pulse, and takes all that comes, in a thread of its own.
"""

import json
import threading
from typing import Final, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

_PATIENCE_S: Final = 0.2


class Onlooker:
    """Looks at a wall until it is closed; a context manager."""

    def __init__(self, url: str, strips: int) -> None:
        """Begin to look.

        Args:
            url: of the wall, on loopback and without a token.
            strips: of how many patients the signal is shown; 0 for none, as with tiles.

        Raises:
            OSError: nothing answers there.
        """
        address = url.replace("http", "ws", 1).rstrip("/") + "/live"
        self._connection: ClientConnection = connect(address)
        self._strips = strips
        self._shown: list[int] = []
        self.received_bytes = 0
        """Of all messages so far."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="onlooker")
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._take(self._connection.recv(_PATIENCE_S))
            except TimeoutError:
                continue
            except ConnectionClosed:
                return

    def _take(self, message: str | bytes) -> None:
        self.received_bytes += len(message)
        if isinstance(message, bytes):
            return
        content = json.loads(message)
        if content["kind"] != "pulse":
            return
        self._connection.send(json.dumps({"got": content["id"]}))
        shown = content["patients"][: self._strips]
        if shown != self._shown:
            self._shown = shown
            self._connection.send(json.dumps({"show": shown, "leads": "in use"}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        self._thread.join()
        self._connection.close()
