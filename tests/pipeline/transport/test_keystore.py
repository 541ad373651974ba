"""Keys in files: closed to others from the start, refused when open, and in no text."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, KeysError
from pipeline.transport import access_list as allowed_module
from pipeline.transport.access_list import (
    AccessEntry,
    LiveAccessList,
    Rights,
    editing,
    load_access_list,
)
from pipeline.transport.curve import ClientKeys, is_key, new_pair
from pipeline.transport.keystore import KeyStore, default_folder


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    """Return a store that does not exist yet."""
    return KeyStore(tmp_path / "config" / "keys")


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folder_and_secret_are_closed_whatever_the_umask(store: KeyStore, umask: int) -> None:
    """0700 and 0600, never wider even for a moment: the mode is given at creation."""
    before = os.umask(umask)
    try:
        store.create("hub")
        with editing(store) as allowed:
            allowed["hub"] = AccessEntry("hub", store.public("hub"), Rights(subscribe=True))
    finally:
        os.umask(before)
    assert mode(store.folder) == 0o700
    assert mode(store.folder / "hub.secret") == 0o600
    assert mode(store.folder / "allowed") == 0o600
    assert {path.name for path in store.folder.iterdir()} == {"hub.secret", "hub.public", "allowed"}


def test_what_is_written_is_read(store: KeyStore) -> None:
    """A key comes back as it was, by name or, if public, as itself."""
    pair = store.create("hub")
    assert store.pair("hub") == pair
    assert store.public("hub") == pair.public == store.public(pair.public)
    assert store.client("hub", "hub") == ClientKeys(pair, pair.public)
    assert store.names() == ["hub"]


def test_a_name_is_taken_once(store: KeyStore) -> None:
    """A second key of a name is refused, the first stays; a link is not followed."""
    pair = store.create("hub")
    with pytest.raises(KeysError, match="exists"):
        store.create("hub")
    assert store.pair("hub") == pair
    (store.folder / "link.secret").symlink_to(store.folder / "elsewhere")
    with pytest.raises(KeysError):
        store.create("link")
    assert not (store.folder / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "é", "a\n", "x" * 65, "\0"])
def test_names_cannot_leave_the_folder(store: KeyStore, name: str) -> None:
    """Every way to name a key takes plain names alone."""
    for use in (store.create, store.pair, store.public):
        with pytest.raises(KeysError) as raised:
            use(name)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("opened", [0o640, 0o604, 0o620, 0o602, 0o660, 0o666, 0o644])
def test_a_secret_that_others_can_read_or_write_is_refused(store: KeyStore, opened: int) -> None:
    """The error is one line that says the command which puts it right."""
    store.create("hub")
    secret = store.folder / "hub.secret"
    secret.chmod(opened)
    with pytest.raises(KeysError) as raised:
        store.pair("hub")
    assert str(raised.value).endswith(f"chmod 600 {secret}")
    secret.chmod(0o600)
    store.pair("hub")


@pytest.mark.parametrize("opened", [0o750, 0o705, 0o755, 0o770, 0o701])
def test_a_folder_that_others_can_enter_is_refused(store: KeyStore, opened: int) -> None:
    """No key is read, made or allowed in it."""
    store.create("hub")
    store.folder.chmod(opened)
    with pytest.raises(KeysError) as raised:
        store.pair("hub")
    assert str(raised.value).endswith(f"chmod 700 {store.folder}")
    with pytest.raises(KeysError):
        store.create("other")
    with pytest.raises(KeysError), editing(store):
        pass


@pytest.mark.parametrize("opened", [0o664, 0o646])
def test_a_list_that_others_can_write_is_refused(store: KeyStore, opened: int) -> None:
    """They could let themselves in."""
    store.create("hub")
    with editing(store):
        pass
    (store.folder / "allowed").chmod(opened)
    with pytest.raises(KeysError, match="chmod 644"):
        load_access_list(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away takes root")
def test_files_of_another_user_are_refused(store: KeyStore) -> None:
    """Whoever owns a file can change it, whatever its permissions are."""
    store.create("hub")
    os.chown(store.folder / "hub.secret", 12345, -1)
    with pytest.raises(KeysError, match="another user"):
        store.pair("hub")
    os.chown(store.folder / "hub.secret", 0, -1)
    os.chown(store.folder, 12345, -1)
    with pytest.raises(KeysError, match="another user"):
        store.pair("hub")


def test_links_fifos_and_folders_are_no_keys(store: KeyStore) -> None:
    """What is not a plain file is refused at once, a FIFO without waiting for its writer."""
    store.create("hub")
    (store.folder / "link.secret").symlink_to(store.folder / "hub.secret")
    os.mkfifo(store.folder / "fifo.secret", 0o600)
    (store.folder / "folder.secret").mkdir(mode=0o700)
    for name in ("link", "fifo", "folder"):
        with pytest.raises(KeysError):
            store.pair(name)
    alias = store.folder.parent / "alias"
    alias.symlink_to(store.folder)
    with pytest.raises(KeysError):
        KeyStore(alias).pair("hub")


@given(damage=st.binary(max_size=200), at=st.integers(0, 130), cut=st.booleans())
def test_damaged_files_are_named_errors_that_hold_no_secret(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int, cut: bool
) -> None:
    """Whatever a file holds: a key, or an error of one line, without the secret in it."""
    store = KeyStore(tmp_path_factory.mktemp("keys") / "keys")
    pair = store.create("hub")
    path = store.folder / "hub.secret"
    good = path.read_bytes()
    path.write_bytes(good[:at] + damage + (b"" if cut else good[at + len(damage) :]))
    said = ""
    try:
        assert store.pair("hub") == pair
    except KeysError as error:
        said = str(error)
    assert pair.secret not in said
    assert "\n" not in said


def test_halves_that_do_not_match_are_refused(store: KeyStore) -> None:
    """A hub with a wrong public key would lock its own clients out without a word."""
    pair = store.create("hub")
    path = store.folder / "hub.secret"
    path.write_text(path.read_text().replace(pair.public, new_pair().public))
    with pytest.raises(KeysError, match="halves"):
        store.pair("hub")


def test_secrets_are_in_no_text_of_an_object(store: KeyStore) -> None:
    """A log line or a traceback of a pair shows the public half alone."""
    pair = store.create("hub")
    shown = repr(pair) + str(pair) + repr(ClientKeys(pair, pair.public)) + f"{pair}"
    assert pair.secret not in shown
    assert pair.public in shown


def test_a_service_manager_hands_a_key_over(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A credential may be readable by its group (an access list shows so), not by all others."""
    pair = store.create("hub")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (store.folder / "hub.secret").rename(credentials / "hub.secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    (credentials / "hub.secret").chmod(0o440)
    assert store.pair("hub") == pair
    (credentials / "hub.secret").chmod(0o444)
    with pytest.raises(KeysError):
        store.pair("hub")


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The place for settings of the user, by the rules of the desktop."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "ecg-monitor" / "keys"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".config" / "ecg-monitor" / "keys"


@given(st.text(max_size=60))
def test_text_that_is_no_key_is_refused(text: str) -> None:
    """Anything but 40 characters of Z85 that make 32 bytes is no key."""
    assert not is_key(text) or len(text) == 40
    assert is_key(new_pair().public)
    assert not is_key("#" * 40)  # each five of them make more than 32 bits


@pytest.mark.parametrize("pattern", ["", "a/b", "[a", "a b", "*\n", "x" * 65, "a,b"])
def test_patterns_are_checked(pattern: str) -> None:
    """Patterns are of the characters of stream names, * and ?."""
    with pytest.raises(KeysError):
        Rights(streams=(pattern,))


def test_patterns_match_whole_names_with_their_case() -> None:
    """A pattern without * is one stream."""
    rights = Rights(streams=("ward3-*", "100"))
    assert [rights.may_send(name) for name in ("ward3-", "ward3-7", "100")] == [True] * 3
    assert not any(rights.may_send(name) for name in ("1000", "WARD3-7", "xward3-7", "", "ward3"))


def good_list(store: KeyStore) -> dict[str, object]:
    """Write a list with one key and return it as JSON."""
    store.create("a")
    with editing(store) as allowed:
        allowed["a"] = AccessEntry("a", store.public("a"), Rights(streams=("*",), score=True))
    found: dict[str, object] = json.loads((store.folder / "allowed").read_text())
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"keys": None},
        {"keys": [{}]},
        {"keys": ["a"]},
        {"keys": [{"name": "a", "public": "short", "streams": []}]},
        {"public": None},
        {"name": "../a"},
        {"name": 3},
        {"streams": "abc"},
        {"streams": [3]},
        {"streams": ["[a-"]},
        {"score": 1},
        {"root": True},
    ],
    ids=str,
)
def test_a_damaged_list_is_a_named_error(store: KeyStore, change: dict[str, object]) -> None:
    """A list that is not exactly one is refused whole: nobody gets in by half a line."""
    found = good_list(store)
    (entry,) = found["keys"]  # type: ignore[misc, attr-defined]
    (found if set(change) <= set(found) else entry).update(change)
    (store.folder / "allowed").write_text(json.dumps(found))
    with pytest.raises(KeysError) as raised:
        load_access_list(store)
    assert "\n" not in str(raised.value)


@given(st.binary(max_size=100))
def test_rubbish_instead_of_a_list_is_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
) -> None:
    """Nothing but a `KeysError` comes of it."""
    store = KeyStore(tmp_path_factory.mktemp("keys") / "keys")
    store.make_folder()
    (store.folder / "allowed").write_bytes(rubbish)
    (store.folder / "allowed").chmod(0o600)
    with pytest.raises(KeysError):
        load_access_list(store)


def test_a_key_is_on_the_list_once(store: KeyStore) -> None:
    """One key under two names could keep, by the second, what is taken from the first."""
    found = good_list(store)
    (entry,) = found["keys"]  # type: ignore[misc, attr-defined]
    found["keys"] = [entry, {**entry, "name": "b"}]
    (store.folder / "allowed").write_text(json.dumps(found))
    with pytest.raises(KeysError, match="twice"):
        load_access_list(store)


def test_two_changes_at_once_both_last(store: KeyStore) -> None:
    """Commands that run at the same time wait for each other."""
    names = [f"k{number}" for number in range(8)]
    for name in names:
        store.create(name)

    def allow(name: str) -> None:
        with editing(store) as allowed:
            allowed[name] = AccessEntry(name, store.public(name), Rights(subscribe=True))

    threads = [threading.Thread(target=allow, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(load_access_list(store)) == names


def test_a_change_that_fails_changes_nothing(store: KeyStore) -> None:
    """The list is replaced at the very end, whole."""
    before = good_list(store)

    def change() -> None:
        with editing(store) as allowed:
            allowed.clear()
            raise ConfigError("no")

    with pytest.raises(ConfigError):
        change()
    assert json.loads((store.folder / "allowed").read_text()) == before


def test_the_live_list_follows_the_file_by_the_clock(store: KeyStore) -> None:
    """It is looked at four times a second and not more often."""
    now = 0.0
    live = LiveAccessList(store, lambda: now)
    key = good_list(store)["keys"][0]["public"]  # type: ignore[index]
    assert live.rights(key) == Rights()
    now = 0.2
    assert live.rights(key) == Rights()
    now = 0.26
    assert live.rights(key).score
    assert live.subscribers() == frozenset()
    store.folder.chmod(0o755)
    now = 0.6
    assert live.rights(key) == Rights()
    assert "chmod 700" in live.fault
    store.folder.chmod(0o700)
    now = 0.9
    assert live.rights(key).score
    assert not live.fault


def test_the_live_list_is_read_again_after_a_fault(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptors for a moment, say: the file is the same, and everybody is let in again."""
    now = 0.0
    live = LiveAccessList(store, lambda: now)
    key = good_list(store)["keys"][0]["public"]  # type: ignore[index]
    with monkeypatch.context() as patched:
        fault = KeysError("too many open files")
        patched.setattr(allowed_module, "load_access_list", Mock(side_effect=fault))
        now = 0.3
        assert live.rights(key) == Rights()
    now = 0.6
    assert live.rights(key).score
    assert not live.fault


@pytest.mark.parametrize("command", ["create", "pair"])
def test_a_process_that_holds_a_secret_leaves_no_core_file(store: KeyStore, command: str) -> None:
    """Neither does what it starts: nobody can raise the limit again."""
    store.create("mine")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from pipeline.transport.keystore import KeyStore\n"
        "getattr(KeyStore(Path(sys.argv[1])), sys.argv[2])(sys.argv[3])\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    name = {"create": "other", "pair": "mine"}[command]
    words = [sys.executable, "-c", code, str(store.folder), command, name]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("(0, 0)\n", "")
