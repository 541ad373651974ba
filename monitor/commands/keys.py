"""`monitor keys`: make keys, change the list of what each may do at a hub, print pseudonyms."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.wall.token import Token
from pipeline.errors import KeysError
from pipeline.transport.access_list import AccessEntry, Rights, editing, load_access_list
from pipeline.transport.keystore import KeyStore, default_folder
from pipeline.transport.pseudonyms import Pseudonyms


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made, as printed with ``--json``."""

    name: str
    public: str
    secret_file: str
    public_file: str


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key whose secret lies in the folder, as printed with ``--json``."""

    own: str
    public: str


@dataclass(frozen=True, slots=True)
class AllowedKey:
    """An entry of the access list, as printed with ``--json``."""

    allowed: str
    public: str
    streams: tuple[str, ...]
    score: bool
    subscribe: bool
    control: bool


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """An entry that was removed from the access list, as printed with ``--json``."""

    revoked: str
    public: str


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """A key of pseudonyms that was made, as printed with ``--json``."""

    pseudonym_key: str
    """Its file."""


@dataclass(frozen=True, slots=True)
class WallToken:
    """A token of a wall that was made, as printed with ``--json``."""

    wall_token: str
    """Its file."""


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """A name and its pseudonym, as printed with ``--json``."""

    stream: str
    pseudonym: str


Facts = NewKey | OwnKey | AllowedKey | RevokedKey | PseudonymKey | WallToken | Pseudonym


def new_key(name: str, folder: Path | None, *, as_json: bool) -> None:
    """Make a pair of keys in ``folder``; print the public key and the two files.

    Raises:
        KeysError: the name is malformed or taken, or the folder cannot be used.
    """
    store = _store(folder)
    public = store.create(name).public
    secret_file = str(store.folder / f"{name}.secret")
    public_file = str(store.folder / f"{name}.public")
    lines = (
        f"{name}  {public}",
        f"secret  {secret_file}: it never leaves this machine",
        f"public  {public_file}: copy it to the machines that {name} talks to",
    )
    _print(NewKey(name, public, secret_file, public_file), "\n".join(lines), as_json=as_json)


def allow_key(
    name: str,
    folder: Path | None,
    *,
    public: str | None,
    streams: Sequence[str],
    score: bool,
    subscribe: bool,
    control: bool,
    as_json: bool,
) -> None:
    """Put a key on the access list, or replace its entry; without any right it may read.

    Args:
        name: of the key on the list.
        folder: of the keys; None for the default one.
        public: the key itself; None for the file NAME.public in the folder.
        streams: patterns of the streams that it may send.
        score: whether it may score beats.
        subscribe: whether it may read alerts.
        control: whether it may also acknowledge and silence.
        as_json: print one JSON object.

    Raises:
        KeysError: the key cannot be used, is on the list under another name, or the list cannot be
            read or written.
    """
    store = _store(folder)
    reads = subscribe or control or not (streams or score)
    rights = Rights(streams=tuple(streams), score=score, subscribe=reads, control=control)
    entry = AccessEntry(name, store.public(public or name), rights)
    with editing(store) as access_list:
        twin = next((e.name for e in access_list.values() if e.public == entry.public), name)
        if twin != name:
            raise KeysError(f"this key is on the list as {twin}: monitor keys revoke {twin} first")
        access_list[name] = entry
    _print(_allowed(entry), _rights_text(entry), as_json=as_json)


def revoke_key(name: str, folder: Path | None, *, as_json: bool) -> None:
    """Remove a key from the access list; a running hub drops it within a second.

    Raises:
        KeysError: the key is not on the list, or the list cannot be read or written.
    """
    with editing(_store(folder)) as access_list:
        if name not in access_list:
            raise KeysError(f"{name[:80]!r} is not on the list: see monitor keys list")
        entry = access_list.pop(name)
    _print(RevokedKey(name, entry.public), f"{name} may do nothing any more", as_json=as_json)


def print_keys(folder: Path | None, *, as_json: bool) -> None:
    """Print our own keys, and every entry of the access list.

    Raises:
        KeysError: a key or the list cannot be read.
    """
    store = _store(folder)
    own = [OwnKey(name, store.public(name)) for name in store.names()]
    entries = load_access_list(store).values() if store.folder.exists() else ()
    for key in own:
        _print(key, f"own      {key.own}  {key.public}", as_json=as_json)
    for entry in entries:
        line = f"allowed  {_rights_text(entry)}  {entry.public}"
        _print(_allowed(entry), line, as_json=as_json)
    if not own and not entries:
        sys.stderr.write(f"monitor: no keys in {store.folder}: monitor keys new NAME makes one\n")


def make_pseudonym_key(path: Path, *, as_json: bool) -> None:
    """Make the key of pseudonyms in a file; print its name.

    Raises:
        KeysError: the file exists, or cannot be written.
    """
    Pseudonyms.create(path)
    text = (
        f"pseudonyms  {path}: give it to sources with --pseudonyms, never to the hub; keep a copy: "
        "without it nobody can say whose stream is whose"
    )
    _print(PseudonymKey(str(path)), text, as_json=as_json)


def make_wall_token(path: Path, *, as_json: bool) -> None:
    """Make the token of a wall in a file; print the name of the file, never the token.

    Raises:
        KeysError: the file exists, or cannot be written.
    """
    Token.create(path)
    text = (
        f"token  {path}: give it to monitor wall --token; its second line is what a browser asks "
        "for once"
    )
    _print(WallToken(str(path)), text, as_json=as_json)


def print_pseudonyms(path: Path, names: Sequence[str], *, as_json: bool) -> None:
    """Print the pseudonym of each name under the key in a file.

    Raises:
        KeysError: the key cannot be used, or no stream can have one of the names.
    """
    pseudonyms = Pseudonyms.load(path)
    for pair in [Pseudonym(name, pseudonyms.of(name)) for name in names]:
        _print(pair, f"{pair.stream}  {pair.pseudonym}", as_json=as_json)


def _store(folder: Path | None) -> KeyStore:
    return KeyStore(folder or default_folder())


def _allowed(entry: AccessEntry) -> AllowedKey:
    return AllowedKey(entry.name, entry.public, **asdict(entry.rights))


def _rights_text(entry: AccessEntry) -> str:
    rights = entry.rights
    may = [f"send {pattern}" for pattern in rights.streams]
    may += ["score"] * rights.score + ["read alerts"] * rights.subscribe
    may += ["acknowledge and silence"] * rights.control
    return f"{entry.name} may {', '.join(may)}"


def _print(facts: Facts, text: str, *, as_json: bool) -> None:
    sys.stdout.write((json.dumps(asdict(facts)) if as_json else text) + "\n")
