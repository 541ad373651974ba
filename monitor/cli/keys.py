"""``monitor keys``: make keys, and say what each of them may do at a hub."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from monitor.cli.key_options import Keys
from monitor.cli.options import Json
from pipeline.errors import KeysError

if TYPE_CHECKING:
    from pipeline.transport.access_list import Rights
    from pipeline.transport.keystore import KeyStore

keys_app = typer.Typer(
    help="Keys for hubs that are reached from other machines: docs/deploy.md.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 . _ -")]


@keys_app.command()
def new(name: Name, keys: Keys = None, as_json: Json = False) -> None:
    """Make a key: NAME.secret stays here, NAME.public goes to the other side."""
    store = _store(keys)
    public = store.create(name).public
    facts = {
        "name": name,
        "public": public,
        "secret_file": str(store.folder / f"{name}.secret"),
        "public_file": str(store.folder / f"{name}.public"),
    }
    if as_json:
        _print(json.dumps(facts))
        return
    _print(f"{name}  {public}")
    _print(f"secret  {facts['secret_file']}: it never leaves this machine")
    _print(f"public  {facts['public_file']}: copy it to whoever has to know {name}")


@keys_app.command()
def allow(
    name: Name,
    public: Annotated[
        Optional[str],  # noqa: UP045  (typer reads annotations at run time)
        typer.Option(help="The key itself; the file NAME.public in the folder, by default."),
    ] = None,
    streams: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="It may send the streams of this pattern (* and ?); repeatable."),
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="It may be a scorer.")] = False,
    subscribe: Annotated[
        bool, typer.Option("--subscribe", help="It may read alerts; alone, the default.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="It may read, acknowledge and silence.")
    ] = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Let a key in at the hub that runs with these keys, for exactly this and nothing else."""
    from pipeline.transport.access_list import AccessEntry, Rights, editing

    store = _store(keys)
    reads = subscribe or control or not (streams or score)
    rights = Rights(streams=tuple(streams or ()), score=score, subscribe=reads, control=control)
    entry = AccessEntry(name, store.public(public or name), rights)
    with editing(store) as allowed:
        twin = next((e.name for e in allowed.values() if e.public == entry.public), name)
        if twin != name:
            raise KeysError(f"this key is on the list as {twin}: monitor keys revoke {twin} first")
        allowed[name] = entry
    _tell(as_json, {"allowed": name, "public": entry.public, **_facts(rights)}, _line(name, rights))


@keys_app.command()
def revoke(name: Name, keys: Keys = None, as_json: Json = False) -> None:
    """Let a key in no more; a running hub drops it within a second."""
    from pipeline.transport.access_list import editing

    with editing(_store(keys)) as allowed:
        if name not in allowed:
            raise KeysError(f"{name[:80]!r} is not on the list: see monitor keys list")
        entry = allowed.pop(name)
    _tell(as_json, {"revoked": name, "public": entry.public}, f"{name} may nothing any more")


@keys_app.command(name="list")
def list_keys(keys: Keys = None, as_json: Json = False) -> None:
    """List our own keys, and what each key on the list may do."""
    from pipeline.transport.access_list import load_access_list

    store = _store(keys)
    own = {name: store.public(name) for name in store.names()}
    allowed = load_access_list(store).values() if store.folder.exists() else ()
    for name, public in own.items():
        _tell(as_json, {"own": name, "public": public}, f"own      {name}  {public}")
    for entry in allowed:
        facts = {"allowed": entry.name, "public": entry.public, **_facts(entry.rights)}
        _tell(as_json, facts, f"allowed  {_line(entry.name, entry.rights)}  {entry.public}")
    if not own and not allowed:
        sys.stderr.write(f"monitor: no keys in {store.folder}: monitor keys new NAME makes one\n")


def _store(folder: Path | None) -> "KeyStore":
    from pipeline.transport.keystore import KeyStore, default_folder

    return KeyStore(folder or default_folder())


def _facts(rights: "Rights") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(rights)


def _line(name: str, rights: "Rights") -> str:
    may = [f"send {pattern}" for pattern in rights.streams]
    may += ["score"] * rights.score + ["read alerts"] * rights.subscribe
    may += ["acknowledge and silence"] * rights.control
    return f"{name} may {', '.join(may)}"


def _tell(as_json: bool, facts: dict[str, Any], line: str) -> None:
    _print(json.dumps(facts) if as_json else line)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
