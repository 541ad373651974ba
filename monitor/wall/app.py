"""The pages of a wall over HTTP, and the messages of a viewer over a WebSocket.

``/`` is the page and ``/live`` its messages (docs/wall.md); ``/login`` takes the token where there
is one, and ``/session`` says whether a browser is let in. Every answer passes `_guarded`.
"""

import asyncio
import contextlib
import json
import time
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from monitor.wall.access import HEADERS, Access
from monitor.wall.viewers import MOST_SHOWN, PULSE_S, Viewer, Wall

LONGEST_MESSAGE: Final = 4_096
"""Bytes that a viewer may send at once."""

SILENT_S: Final = 30.0
"""A viewer that has not answered for so long is disconnected: it gives up its place."""

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FAILED: Final = "<!-- message -->", '<p class="failed">This is not the token of this wall.</p>'

POLICY, FAULT, AGAIN_LATER = 1008, 1011, 1013
"""Codes with which a WebSocket is closed: a message that is none of ours, a fault of the wall, and
too many viewers."""


def make_app(wall: Wall, access: Access) -> ASGIApp:
    """Return the ASGI application of ``wall`` under the rules of ``access``."""
    pages = _pages()

    async def show(request: Request) -> Response:
        if not _admitted(request, access):
            return RedirectResponse("/login", 303)
        return _file(pages, "wall.html")

    async def serve_file(request: Request) -> Response:
        name = request.path_params["name"]
        return _file(pages, name) if not name.endswith(".html") else Response(status_code=404)

    async def session(request: Request) -> Response:
        return Response(status_code=204 if _admitted(request, access) else 401)

    async def login(request: Request) -> Response:
        if request.method != "POST":
            inside = _admitted(request, access)
            return RedirectResponse("/", 303) if inside else _file(pages, "login.html")
        host = request.headers.get("host", "")
        if access.token is None or not access.is_own_page(request.headers.get("origin"), host):
            return Response(status_code=403)
        if access.token.matches(await _token_of(request)):
            headers = {"Set-Cookie": access.set_cookie(time.time())}
            return RedirectResponse("/", 303, headers=headers)
        body = pages["login.html"].decode().replace(*_FAILED)
        return Response(body, 403, media_type=_TYPES["html"])

    async def logout(request: Request) -> Response:
        if not access.is_own_page(request.headers.get("origin"), request.headers.get("host", "")):
            return Response(status_code=403)
        return RedirectResponse("/login", 303, headers={"Set-Cookie": access.end_cookie()})

    async def live(websocket: WebSocket) -> None:
        headers = websocket.headers
        own = access.is_own_page(headers.get("origin"), headers.get("host", ""))
        if not own or not _admitted(websocket, access):
            await websocket.close(POLICY)  # before the handshake: HTTP 403
            return
        await _serve(websocket, wall)

    routes = [
        Route("/", show),
        Route("/session", session),
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", logout, methods=["POST"]),
        WebSocketRoute("/live", live),
        Route("/{name}", serve_file),
    ]
    return _guarded(Starlette(routes=routes), access)


def _guarded(app: ASGIApp, access: Access) -> ASGIApp:
    """Refuse every request to another host, and send the headers with every answer."""
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        if scope["type"] == "lifespan" or access.knows_host(
            HTTPConnection(scope).headers.get("host", "")
        ):
            await app(scope, receive, answer)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY})
        else:
            text = "no wall of this name: start it with --name, or use its address\n"
            await Response(text, 421, media_type="text/plain")(scope, receive, answer)

    return guard


async def _serve(websocket: WebSocket, wall: Wall) -> None:
    """Send a viewer what is due, and take its answers, until either end closes."""
    await websocket.accept()
    viewer = wall.open(time.monotonic())
    if viewer is None:
        await websocket.close(AGAIN_LATER, "too many viewers")
        return
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(_send(websocket, viewer, wall)),
        asyncio.create_task(_answers(websocket, viewer, wall)),
        asyncio.create_task(viewer.replaced.wait()),
    ]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        wall.close(viewer)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if (error := one.exception()) is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has gone
                await websocket.close(FAULT, "a fault of the wall")  # the page connects again
            raise error


async def _answers(websocket: WebSocket, viewer: Viewer, wall: Wall) -> None:
    """Take what a viewer sends until it says nothing more, or nothing of ours."""
    with contextlib.suppress(WebSocketDisconnect, TimeoutError, KeyError):  # KeyError: bytes
        while True:
            text = await asyncio.wait_for(websocket.receive_text(), SILENT_S)
            if not _take(text, viewer, wall):
                await websocket.close(POLICY, "no message of ours")
                return


async def _send(websocket: WebSocket, viewer: Viewer, wall: Wall) -> None:
    """Send what is due; a connection whose buffer is full makes this one viewer wait."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the other side has gone
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(viewer.changed.wait(), PULSE_S)
            viewer.changed.clear()
            for message in viewer.due(time.monotonic(), wall.received_at):
                if isinstance(message, str):
                    await websocket.send_text(message)
                else:
                    await websocket.send_bytes(message)


def _take(text: str, viewer: Viewer, wall: Wall) -> bool:
    """Apply a message of a viewer; return False if it is none."""
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    match message:
        case {"got": int(pulse)}:
            viewer.answer(pulse, time.monotonic())
            return True
        case {"show": [*numbers], "leads": "in use" | "all" as leads} if len(numbers) <= MOST_SHOWN:
            if all(type(number) is int for number in numbers):
                wall.ask(viewer, numbers, all_leads=leads == "all")
                return True
    return False


def _pages() -> dict[str, bytes]:
    """Return the files of the page, by name."""
    folder = files("monitor.wall").joinpath("page")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def _file(pages: dict[str, bytes], name: str) -> Response:
    body = pages.get(name)
    if body is None:
        return Response(status_code=404)
    return Response(body, media_type=_TYPES[name.rpartition(".")[2]])


def _admitted(request: HTTPConnection, access: Access) -> bool:
    headers = request.headers
    return access.admits(headers.get("authorization", ""), headers.get("cookie", ""), time.time())


async def _token_of(request: Request) -> str:
    """Return what a form presents as the token; empty if it is none, or too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_MESSAGE:
            return ""
    try:
        fields = parse_qs(body.decode("ascii", "replace"), max_num_fields=4)
    except ValueError:  # more fields
        return ""
    return fields.get("token", [""])[0]
