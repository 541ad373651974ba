"""Keyed pseudonyms: what they depend on, what they give away, and who may read the key."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.constants import STREAM_NAME
from pipeline.errors import KeysError
from pipeline.transport.pseudonyms import Pseudonyms, without_quotations

NAMES = st.text("abcXYZ019._-", min_size=1, max_size=64)


@given(name=NAMES, key=st.binary(min_size=32, max_size=32))
def test_a_pseudonym_depends_on_name_and_key_alone(name: str, key: bytes) -> None:
    """It is a name that the wire allows, the same each time, and another one under another key."""
    pseudonym = Pseudonyms(key).of(name)
    other = bytes([key[0] ^ 1, *key[1:]])

    assert re.fullmatch(r"p-[a-z2-7]{10}", pseudonym)
    assert re.fullmatch(STREAM_NAME, pseudonym)
    assert Pseudonyms(bytes(key)).of(name) == pseudonym
    assert Pseudonyms(other).of(name) != pseudonym


def test_a_pseudonym_is_an_hmac_of_the_name() -> None:
    """Anybody who holds the key can compute it with other tools: pseudonyms never change."""
    import base64
    import hashlib
    import hmac

    key = bytes(range(32))
    digest = hmac.new(key, b"208", hashlib.sha256).digest()

    assert Pseudonyms(key).of("208") == f"p-{base64.b32encode(digest)[:10].decode().lower()}"


@pytest.mark.parametrize("name", ["", "a b", "Müller", "a" * 65, "../100", "100\n"])
def test_what_no_stream_can_be_called_has_no_pseudonym(name: str) -> None:
    """A mapping of a name that was mistyped would mislead."""
    with pytest.raises(KeysError, match="no name of a stream"):
        Pseudonyms(bytes(32)).of(name)


def test_a_key_is_read_back_and_never_replaced(tmp_path: Path) -> None:
    """The file has mode 0600 from its beginning, whatever the umask; a second one is refused."""
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        made = Pseudonyms.create(path)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o7777 == 0o600
    assert Pseudonyms.load(path).of("100") == made.of("100")
    with pytest.raises(KeysError, match="exists"):
        Pseudonyms.create(path)
    assert Pseudonyms.load(path).of("100") == made.of("100")
    assert path.read_text().split("\n")[1] not in f"{made!r} {vars(type(made))}"


@pytest.mark.parametrize("fault", ["open", "missing", "damaged", "of others", "link", "pipe"])
def test_a_key_that_protects_nothing_is_refused(fault: str, tmp_path: Path) -> None:
    """One line says what to do."""
    path = tmp_path / "key"
    expected = {
        "open": "chmod 600",
        "missing": "monitor keys pseudonyms",
        "damaged": "damaged",
        "of others": "damaged",
        "link": "cannot read",
        "pipe": "no file of keys",
    }
    if fault == "pipe":
        os.mkfifo(path, 0o600)
    elif fault != "missing":
        Pseudonyms.create(path)
    if fault == "open":
        path.chmod(0o640)
    elif fault == "damaged":
        path.write_text(path.read_text()[:-3])
    elif fault == "of others":
        path.write_text("ecg-monitor secret key 1\n" + "0" * 64 + "\n")
    elif fault == "link":
        path.rename(tmp_path / "real")
        path.symlink_to("real")

    with pytest.raises(KeysError, match=expected[fault]) as refused:
        Pseudonyms.load(path)
    assert "\n" not in str(refused.value)


def test_a_key_may_be_a_credential_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager lets the group of the service read it, and nobody else."""
    path = tmp_path / "key"
    made = Pseudonyms.create(path)
    path.chmod(0o440)
    with pytest.raises(KeysError):
        Pseudonyms.load(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert Pseudonyms.load(path).of("100") == made.of("100")


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("the device sends nothing: check its cable", "the device sends nothing: check its cable"),
        ("gone: plug it in, '/dev/anna' is looked for", "gone: plug it in, '…' is looked for"),
        ('cannot be read, such as "Anna\'s": check', "cannot be read, such as '…': check"),
        ("gone: plug it in, '/dev/a very long na", "gone: plug it in, '…'"),
        ("'a' and 'b'", "'…'"),
    ],
)
def test_what_a_device_quotes_is_left_out(said: str, sent: str) -> None:
    """The path of a port and the lines of a device may name a person, also where a text is cut."""
    assert without_quotations(said) == sent
