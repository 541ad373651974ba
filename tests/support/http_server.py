"""A real HTTP server in a thread: it keeps what it is sent and answers as it is told."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple, Self


class Request(NamedTuple):
    """What came in one POST."""

    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered to one POST; code 0 for a connection that is closed without an answer."""

    code: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


class HttpServer:
    """Listens on a port of loopback; a context manager."""

    def __init__(self, *, port: int = 0, tls: Any = None) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        """The next answers, in this order; then 204."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.requests.append(Request(self.path, dict(self.headers), body))
                answer = owner.answers.pop(0) if owner.answers else Answer(204)
                if answer.code:
                    self.send_response(answer.code)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer.body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
