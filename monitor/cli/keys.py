"""Parse ``monitor keys``; `monitor.commands.keys` does the work."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monitor.cli.options import Json, Keys

keys_app = typer.Typer(
    help="Keys for hubs that are reached from other machines: docs/deploy.md.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 . _ -")]


@keys_app.command()
def new(name: Name, keys: Keys = None, as_json: Json = False) -> None:
    """Make a key: NAME.secret stays here, NAME.public goes to the other side."""
    from monitor.commands.keys import new_key

    new_key(name, keys, as_json=as_json)


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
        bool, typer.Option("--subscribe", help="It may read alerts; the default without a right.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="It may read, acknowledge and silence.")
    ] = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Allow a key at the hub that runs with these keys, for exactly these rights."""
    from monitor.commands.keys import allow_key

    allow_key(
        name,
        keys,
        public=public,
        streams=streams or [],
        score=score,
        subscribe=subscribe,
        control=control,
        as_json=as_json,
    )


@keys_app.command()
def revoke(name: Name, keys: Keys = None, as_json: Json = False) -> None:
    """Take all rights from a key; a running hub drops it within a second."""
    from monitor.commands.keys import revoke_key

    revoke_key(name, keys, as_json=as_json)


@keys_app.command()
def pseudonyms(
    file: Annotated[Path, typer.Argument(help="The file of the key, for --pseudonyms.")],
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="Names of streams: print their pseudonyms. Without one, make the key."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key for --pseudonyms, or print the pseudonyms of NAMES under it."""
    from monitor.commands.keys import make_pseudonym_key, print_pseudonyms

    if names:
        print_pseudonyms(file, names, as_json=as_json)
    else:
        make_pseudonym_key(file, as_json=as_json)


@keys_app.command()
def token(
    file: Annotated[Path, typer.Argument(help="The file of the token, for monitor wall --token.")],
    as_json: Json = False,
) -> None:
    """Make the token that opens a wall in a browser."""
    from monitor.commands.keys import make_wall_token

    make_wall_token(file, as_json=as_json)


@keys_app.command(name="list")
def list_keys(keys: Keys = None, as_json: Json = False) -> None:
    """List our own keys, and what each key on the list may do."""
    from monitor.commands.keys import print_keys

    print_keys(keys, as_json=as_json)
