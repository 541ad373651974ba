"""Who may see a wall: hosts, origins, tokens, sessions."""

import json
import os
from pathlib import Path

import pytest

from monitor.commands.keys import make_wall_token
from monitor.wall.access import Access
from monitor.wall.addresses import HttpAddress
from monitor.wall.token import SESSION_S, Token
from pipeline.errors import ConfigError, KeysError


@pytest.fixture
def token(tmp_path: Path) -> Token:
    """Return a token."""
    return Token.create(tmp_path / "token")


def test_a_token_is_kept_closed_and_matches_in_any_spelling(tmp_path: Path) -> None:
    """Mode 0600; hyphens, blanks and capitals do not matter; nothing else opens."""
    path = tmp_path / "token"
    Token.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text().splitlines()[1]
    loaded = Token.load(path)
    assert loaded.matches(text)
    assert loaded.matches(f" {text.replace('-', '').upper()} ")
    for other in ("", text[:-1], text + "a", "é" * 32, "a" * 10_000):
        assert not loaded.matches(other)


def test_the_command_prints_the_file_and_never_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a line, or as one object."""
    for name in ("one", "two"):
        path = tmp_path / name
        make_wall_token(path, as_json=name == "two")
        out = capsys.readouterr().out
        assert str(path) in out
        assert path.read_text().splitlines()[1] not in out
    assert json.loads(out) == {"wall_token": str(path)}


@pytest.mark.parametrize(
    "body", ["", "x", "ecg-monitor wall token 1\n", "ecg-monitor wall token 1\nabc"]
)
def test_a_damaged_token_is_refused(body: str, tmp_path: Path) -> None:
    """An empty one would let everybody in."""
    path = tmp_path / "token"
    path.write_text(body)
    path.chmod(0o600)
    with pytest.raises(KeysError, match="damaged"):
        Token.load(path)


def test_a_token_that_others_can_read_is_refused_and_none_is_replaced(tmp_path: Path) -> None:
    """One line says what to do."""
    path = tmp_path / "token"
    Token.create(path)
    with pytest.raises(KeysError, match="exists"):
        Token.create(path)
    path.chmod(0o640)
    with pytest.raises(KeysError, match="chmod 600"):
        Token.load(path)
    with pytest.raises(KeysError, match="monitor keys token"):
        Token.load(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeysError):
        Token.load(tmp_path / "pipe")


def test_a_session_ends_and_belongs_to_its_token(token: Token, tmp_path: Path) -> None:
    """Nobody makes one without the token, or a longer one."""
    session = token.session(1_000.0)
    assert token.opens(session, 1_001.0)
    assert not token.opens(session, 1_000.0 + SESSION_S)
    until, _, signature = session.partition(".")
    for forged in (
        "",
        "x",
        f"{until}.",
        f"{int(until) + 1}.{signature}",
        f"{until}.é",
        f"-1.{signature}",
    ):
        assert not token.opens(forged, 1_001.0)
    assert not Token.create(tmp_path / "other").opens(session, 1_001.0)


@pytest.mark.parametrize(
    ("host", "here", "elsewhere"),
    [
        ("127.0.0.1:8080", True, True),
        ("localhost:8080", True, False),
        ("[::1]:8080", True, True),
        ("10.1.2.3:8080", False, True),
        ("ward.example", True, True),
        ("evil.example", False, False),
        ("ward.example.evil.example", False, False),
        ("", False, False),
        ("[", False, False),
        ("127.0.0.1.evil.example", False, False),
    ],
)
def test_a_name_that_is_not_ours_is_refused(host: str, here: bool, elsewhere: bool) -> None:
    """An attacker's page can be rebound to our address only under a name of its own."""
    names = frozenset({"ward.example"})
    assert Access(token=None, loopback=True, tls=False, names=names).knows_host(host) == here
    assert Access(token=None, loopback=False, tls=True, names=names).knows_host(host) == elsewhere


def test_a_page_from_elsewhere_is_not_ours() -> None:
    """Scheme, host and port must be those of the request; a sandboxed page has the origin null."""
    access = Access(token=None, loopback=True, tls=False)
    host = "127.0.0.1:8080"
    assert access.is_own_page("http://127.0.0.1:8080", host)
    assert access.is_own_page(None, host)
    for origin in (
        "null",
        "",
        "http://127.0.0.1:81",
        "http://evil.example",
        "file://127.0.0.1:8080",
    ):
        assert not access.is_own_page(origin, host)


def test_only_the_token_or_a_session_admits(token: Token, tmp_path: Path) -> None:
    """With TLS the cookie has a name that no other host can set."""
    text = (tmp_path / "token").read_text().splitlines()[1]
    access = Access(token=token, loopback=False, tls=True)
    cookie = access.set_cookie(50.0)
    pair = cookie.partition(";")[0]
    assert pair.startswith("__Host-wall=")
    assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"))
    assert text not in cookie
    assert access.admits("", f"other=1; {pair}", 51.0)
    assert access.admits(f"Bearer {text}", "", 51.0)
    for authorization, cookies in (
        ("", ""),
        (f"Basic {text}", ""),
        ("Bearer ", ""),
        ("", "wall=1"),
    ):
        assert not access.admits(authorization, cookies, 51.0)
    assert not access.admits("", access.end_cookie().partition(";")[0], 51.0)


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080", True),
        ("localhost:80", "127.0.0.1:80", True),
        ("[::1]:8080", "[::1]:8080", True),
        ("0.0.0.0:443", "0.0.0.0:443", False),
        ("[::]:443", "[::]:443", False),
    ],
)
def test_an_address_is_one_of_this_machine(text: str, shown: str, loopback: bool) -> None:
    """With a port."""
    address = HttpAddress.parse(text)
    assert (str(address), address.loopback) == (shown, loopback)


@pytest.mark.parametrize(
    "text", ["", "8080", "127.0.0.1", "ward:80", "127.0.0.1:99999", "127.0.0.1:x", "a@127.0.0.1:8",
             "127.0.0.1:8080/x", "http://127.0.0.1:8080"]
)  # fmt: skip
def test_anything_else_is_no_address(text: str) -> None:
    """One line says how to write it."""
    with pytest.raises(ConfigError, match=r"write 127\.0\.0\.1:8080"):
        HttpAddress.parse(text)
