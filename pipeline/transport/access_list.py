"""The access list: which key may do what. A file that commands change while a hub uses it.

A key may have the right to send the streams that its patterns match, to score, to subscribe
(alerts, old alerts and the signal around them), and to control (acknowledge, silence). A key that
is not on the list has no rights. The file is replaced as a whole, so a reader sees the list before
a change or after it, never between. A hub checks it four times a second. While the list cannot be
read, nobody has any rights, and the log says so.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from pipeline.errors import KeysError
from pipeline.transport.curve import is_key
from pipeline.transport.keystore import KeyStore, check_name

logger = logging.getLogger(__name__)

FILE: Final = "allowed"
_VERSION: Final = 1
_CHECK_S: Final = 0.25
_NAMES_KNOWN: Final = 8_192
"""Streams of which it is remembered whether a key may send them: each chunk asks."""

_PATTERN: Final = re.compile(r"[A-Za-z0-9._*?-]{1,64}", re.ASCII)

INGEST: Final = "ingest"
WORK: Final = "work"
ALERTS: Final = "alerts"
REPLAY: Final = "replay"
CONTROL: Final = "control"
"""These are the hub's sockets by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a key may do; nothing, by default."""

    streams: tuple[str, ...] = ()
    """Patterns of the streams that it may send: ``*`` is any characters, ``?`` exactly one."""
    score: bool = False
    subscribe: bool = False
    """Receive what the hub publishes, ask for old alerts and for the signal around them."""
    control: bool = False
    """Acknowledge alarms and silence them."""

    def __post_init__(self) -> None:
        """Refuse malformed patterns."""
        for pattern in self.streams:
            if _PATTERN.fullmatch(pattern) is None:
                raise KeysError(
                    f"{pattern[:80]!r} is no pattern of streams: "
                    "use 1 to 64 of A-Z a-z 0-9 . _ - * ?"
                )

    def may_send(self, stream: str) -> bool:
        """Say whether the stream is one that the key may send."""
        return _matches(self.streams, stream)

    def may_use(self, socket_name: str) -> bool:
        """Say whether the key has any right on the hub's socket of that name."""
        if socket_name == INGEST:
            return bool(self.streams)
        if socket_name == WORK:
            return self.score
        return self.subscribe or (socket_name == CONTROL and self.control)


@lru_cache(maxsize=_NAMES_KNOWN)
def _matches(patterns: tuple[str, ...], stream: str) -> bool:
    return any(fnmatchcase(stream, pattern) for pattern in patterns)


NO_RIGHTS: Final = Rights()
ALL_RIGHTS: Final = Rights(streams=("*",), score=True, subscribe=True, control=True)
"""Of everybody, on sockets that ask for no keys."""


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """One line of the list."""

    name: str
    public: str
    rights: Rights


def load_access_list(store: KeyStore) -> dict[str, AccessEntry]:
    """Return the list by name; empty before it exists.

    Raises:
        KeysError: others could have written it, or it is damaged.
    """
    path = store.folder / FILE
    if not store.holds(FILE):
        return {}
    try:
        found = json.loads(store.read(FILE))
        if found["version"] != _VERSION:
            raise KeysError(f"{path} is of version {found['version']!r}, this monitor knows 1")
        allowed = {entry["name"]: _entry(**entry) for entry in found["keys"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysError(f"{path} is damaged: delete it and allow the keys again") from None
    if len({entry.public for entry in allowed.values()}) != len(found["keys"]):
        raise KeysError(f"{path} names a key twice: delete it and allow the keys again")
    return allowed


def _entry(*, name: str, public: str, streams: list[str], **flags: bool) -> AccessEntry:
    well_formed = is_key(public) and isinstance(streams, list)
    if not well_formed or any(type(flag) is not bool for flag in flags.values()):
        raise ValueError
    return AccessEntry(check_name(name), public, Rights(streams=tuple(streams), **flags))


@contextlib.contextmanager
def editing(store: KeyStore) -> Iterator[dict[str, AccessEntry]]:
    """Yield the list to be changed; its contents at the end replace the file.

    Raises:
        KeysError: the list cannot be read or written.
    """
    store.make_folder()
    # Two commands at once must not undo each other's changes: closing the folder unlocks it.
    folder = os.open(store.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        allowed = load_access_list(store)
        yield allowed
        entries: list[dict[str, Any]] = [
            {"name": entry.name, "public": entry.public, **asdict(entry.rights)}
            for entry in allowed.values()
        ]
        text = json.dumps({"version": _VERSION, "keys": entries}, indent=1)
        new = store.folder / f".{FILE}.new"
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(new, flags, 0o600), "w", encoding="ascii") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        new.replace(store.folder / FILE)
        os.fsync(folder)
    except OSError as error:
        raise KeysError(f"cannot write {store.folder / FILE}: {error.strerror}") from None
    finally:
        os.close(folder)


class LiveAccessList:
    """The list of a store as it is now, checked again every 250 ms. Thread-safe."""

    def __init__(self, store: KeyStore, clock: Callable[[], float]) -> None:
        """Read the list.

        Raises:
            KeysError: it cannot be read.
        """
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._check_at = clock() + _CHECK_S
        self._stamp = self._read_stamp()
        self._rights = self._load()
        self.fault = ""
        """Why the list cannot be read; empty while it can."""

    def rights(self, public: str) -> Rights:
        """Return what a key may do now."""
        return self._now().get(public, NO_RIGHTS)

    def subscribers(self) -> frozenset[str]:
        """Return the keys that may subscribe now."""
        return frozenset(key for key, rights in self._now().items() if rights.subscribe)

    def _now(self) -> dict[str, Rights]:
        with self._lock:
            if self._clock() >= self._check_at:
                self._check_at = self._clock() + _CHECK_S
                # Taken before the file is read: a change in between is seen the next time.
                stamp = self._read_stamp()
                if stamp != self._stamp or self.fault:
                    self._stamp = stamp
                    self._reload()
            return self._rights

    def _reload(self) -> None:
        try:
            self._rights = self._load()
            self.fault = ""
        except KeysError as error:
            self._rights = {}
            self.fault = str(error)
            logger.error("no key is accepted: %s", error)

    def _load(self) -> dict[str, Rights]:
        return {entry.public: entry.rights for entry in load_access_list(self._store).values()}

    def _read_stamp(self) -> tuple[int, ...]:
        """Return what changes whenever the file does."""
        stamp: list[int] = []
        for path in (self._store.folder, self._store.folder / FILE):
            try:
                found = os.stat(path)
            except OSError:
                stamp.append(0)
                continue
            stamp += [found.st_ino, found.st_mode, found.st_uid]
            if path.name == FILE:
                stamp += [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        return tuple(stamp)
