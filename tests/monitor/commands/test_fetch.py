"""A download has the listed sums and stays in its own folder, whatever a site sends."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from monitor.commands import fetch as fetching
from monitor.commands.fetch import fetch
from pipeline.errors import ConfigError, InputError

FILES = {"100.hea": b"100 1 360 1\n100.dat 16\n", "100.dat": b"\0\0", "100.atr": b"\0\0"}


def sums(files: dict[str, bytes]) -> bytes:
    """Return a SHA256SUMS.txt of these files."""
    lines = [f"{hashlib.sha256(content).hexdigest()} {name}" for name, content in files.items()]
    return "\n".join(lines).encode()


@contextmanager
def site(answers: dict[str, bytes | str | int]) -> Iterator[tuple[str, list[str]]]:
    """Serve these files of mitdb; a text is a redirection, a number cuts the content short."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            asked.append(name)
            answer = answers.get(name)
            if answer is None:
                self.send_error(404)
                return
            if isinstance(answer, str):
                self.send_response(302)
                self.send_header("Location", answer)
                self.end_headers()
                return
            body = bytes(10) if isinstance(answer, int) else answer
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + (0 if body is answer else 5)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_files_that_are_present_and_correct_are_not_fetched_again(tmp_path: Path) -> None:
    """The second time it fetches only files that were altered in between."""
    with site({"SHA256SUMS.txt": sums(FILES), **FILES}) as (address, asked):
        assert fetch("mitdb", tmp_path, site=address) == tmp_path / "mitdb"
        assert {p.name: p.read_bytes() for p in (tmp_path / "mitdb").iterdir()} == FILES
        (tmp_path / "mitdb" / "100.dat").write_bytes(b"\1\1")
        asked.clear()
        fetch("mitdb", tmp_path, site=address)
    assert asked == ["SHA256SUMS.txt", "100.dat"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "mitdb").iterdir()} == FILES


def test_a_file_that_is_not_as_listed_is_not_written(tmp_path: Path) -> None:
    """Whether altered on the way or at the site, nothing of it is written."""
    with (
        site({"SHA256SUMS.txt": sums(FILES), **FILES, "100.dat": b"\1\1"}) as (address, _),
        pytest.raises(InputError, match=r"100\.dat arrived damaged"),
    ):
        fetch("mitdb", tmp_path, site=address)
    assert not (tmp_path / "mitdb" / "100.dat").exists()


@pytest.mark.parametrize(
    "name", ["../100.dat", "/100.dat", "a/100.dat", ".100.dat", "100.dat\x1b[2J", "100\\..\\x"]
)
def test_no_name_in_the_list_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Names with folders, hidden names and malformed names are skipped."""
    listed = sums({**FILES, name: b"evil", "../100.hea": b"evil"})
    with site({"SHA256SUMS.txt": listed, **FILES}) as (address, _):
        fetch("mitdb", tmp_path / "data", site=address)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == set(FILES)


@pytest.mark.parametrize("list_", [b"", b"\xff\xfe" * 50, b"no sums here\n", b"0 100.hea\n"])
def test_a_malformed_list_is_one_line(tmp_path: Path, list_: bytes) -> None:
    """For example the login page of a network."""
    with (
        site({"SHA256SUMS.txt": list_}) as (address, _),
        pytest.raises(InputError, match="lists no record"),
    ):
        fetch("mitdb", tmp_path, site=address)


@pytest.mark.parametrize("answer", ["file:///etc/passwd", "ftp://127.0.0.1/x", 5])
def test_a_site_that_leads_elsewhere_or_stops_is_one_line(
    tmp_path: Path, answer: str | int
) -> None:
    """To a local file or another protocol; or with a truncated response."""
    with (
        site({"SHA256SUMS.txt": answer}) as (address, _),
        pytest.raises(InputError, match="cannot fetch"),
    ):
        fetch("mitdb", tmp_path, site=address)


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before it fills the memory."""
    monkeypatch.setattr(fetching, "_LARGEST_FILE", 1000)
    with (
        site({"SHA256SUMS.txt": bytes(1001)}) as (address, _),
        pytest.raises(InputError, match="larger"),
    ):
        fetch("mitdb", tmp_path, site=address)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """With advice, and before any request to the site."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="--data"):
        fetch("mitdb", tmp_path / "file", site="http://127.0.0.1:9")
    with pytest.raises(InputError, match="unknown database"):
        fetch("../mitdb", tmp_path)
