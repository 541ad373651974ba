"""A folder of keys: ``NAME.secret`` and ``NAME.public``, and the access list in ``allowed``.

The folder has mode 0700 and a secret 0600 from the moment they exist: a secret is created with
these permissions, never given them afterwards. A file that others could read, or could have
written, is refused with the command that puts it right. A secret is in a file of the store and
nowhere else: no argument, environment variable, log or error text holds it, and a process that
reads or makes one leaves no core file.

No sockets here.
"""

import contextlib
import os
import re
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.errors import KeysError
from pipeline.transport.curve import ClientKeys, KeyPair, is_key, new_pair, public_of

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SECRET: Final = "ecg-monitor secret key 1"  # noqa: S105  (the first line of such a file)
_PUBLIC: Final = "ecg-monitor public key 1"
_MOST_BYTES: Final = 4 * 1024 * 1024
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


def default_folder() -> Path:
    """Return where keys are kept without ``--keys``.

    Raises:
        KeysError: this user has no home folder.
    """
    config = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(config) if config else Path.home() / ".config") / "ecg-monitor" / "keys"
    except RuntimeError:
        raise KeysError("this user has no home folder for keys: name one with --keys") from None


def forbid_core_files() -> None:
    """Let this process leave no image of its memory when it crashes, from now on.

    It will hold a secret, and the file, wherever the system puts it, would hold it too.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def check_name(name: str) -> str:
    """Return ``name`` if it can be one of a key; raise `KeysError` otherwise."""
    if _NAME.fullmatch(name) is None or name in (".", ".."):
        raise KeysError(f"{name[:80]!r} is no name of a key: use 1 to 64 of A-Z a-z 0-9 . _ -")
    return name


class KeyStore:
    """The keys in ``folder``, which need not exist before the first one is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str) -> KeyPair:
        """Make a key and write both of its files.

        Raises:
            KeysError: the name is malformed or taken, or the folder is open to others.
        """
        check_name(name)
        self.make_folder()
        forbid_core_files()
        pair = new_pair()
        self._write_new(f"{name}.secret", f"{_SECRET}\n{pair.public}\n{pair.secret}\n", 0o600)
        try:
            self._write_new(f"{name}.public", f"{_PUBLIC}\n{pair.public}\n", 0o644)
        except BaseException:
            (self.folder / f"{name}.secret").unlink()
            raise
        return pair

    def pair(self, name: str) -> KeyPair:
        """Read a key of our own.

        A service manager may provide it in ``$CREDENTIALS_DIRECTORY`` (LoadCredential= of systemd),
        a folder that only the service can read; that folder comes first.

        Raises:
            KeysError: it is missing, others could read it, or it is damaged.
        """
        file = f"{check_name(name)}.secret"
        forbid_core_files()
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and os.path.lexists(Path(credentials) / file):
            text = read_closed_file(
                Path(credentials) / file, forbidden=0o037, owners={0, os.geteuid()}
            )
        else:
            if not self.holds(file):
                raise KeysError(
                    f"no key {name} in {self.folder}: make one with monitor keys new {name}"
                )
            text = self.read(file, forbidden=_OTHERS)
        lines = text.splitlines()
        if len(lines) != 3 or lines[0] != _SECRET or not all(is_key(line) for line in lines[1:]):
            raise KeysError(f"{self.folder / file} is damaged, or no secret key: make a new one")
        pair = KeyPair(*lines[1:])
        if public_of(pair.secret) != pair.public:
            raise KeysError(f"{self.folder / file} is damaged: its two halves do not match")
        return pair

    def public(self, name: str) -> str:
        """Return a public key: ``name`` is that of a key in the store, or the key itself.

        Raises:
            KeysError: it is missing, others could have written it, or it is damaged.
        """
        if is_key(name):
            return name
        file = f"{check_name(name)}.public"
        if not self.holds(file):
            raise KeysError(
                f"no {file} in {self.folder}: copy it there from where the key {name} was made"
            )
        lines = self.read(file).splitlines()
        if len(lines) != 2 or lines[0] != _PUBLIC or not is_key(lines[1]):
            raise KeysError(f"{self.folder / file} is damaged, or no public key: copy it again")
        return lines[1]

    def client(self, name: str, server: str) -> ClientKeys:
        """Return what a client with the key ``name`` needs to connect to the hub ``server``.

        Raises:
            KeysError: one of the keys cannot be used.
        """
        return ClientKeys(self.pair(name), self.public(server))

    def holds(self, file: str) -> bool:
        """Say whether the folder has an entry of that name, readable or not."""
        return os.path.lexists(self.folder / file)

    def names(self) -> list[str]:
        """Return the names of our own keys."""
        if not os.path.lexists(self.folder):
            return []
        self.check_folder()
        return sorted(path.stem for path in self.folder.glob("*.secret"))

    def make_folder(self) -> None:
        """Create the folder if it does not exist, closed to others.

        Raises:
            KeysError: it cannot be created, or is open to others.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.folder, 0o700)
        except OSError as error:
            raise KeysError(f"cannot create {self.folder}: {error.strerror}") from None
        self.check_folder()

    def check_folder(self) -> None:
        """Raise `KeysError` if the folder is missing, not ours, or open to others."""
        with _folder(self.folder):
            pass

    def read(self, file: str, *, forbidden: int = _OTHERS_WRITE) -> str:
        """Return the text of a file in the folder; both must be closed to others.

        Raises:
            KeysError: it is not there, not ours, or its permissions have a ``forbidden`` bit.
        """
        with _folder(self.folder) as folder:
            return read_closed_file(self.folder / file, folder, forbidden=forbidden)

    def _write_new(self, file: str, text: str, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            handle = os.open(self.folder / file, flags, mode)
        except FileExistsError:
            raise KeysError(
                f"{self.folder / file} exists: choose another name, or delete it first"
            ) from None
        except OSError as error:
            raise KeysError(f"cannot write {self.folder / file}: {error.strerror}") from None
        with open(handle, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(handle)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Open a folder that is ours and closed to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise KeysError(f"no folder {path}: monitor keys new NAME makes it") from None
    except OSError as error:
        raise KeysError(f"{path} is no folder of keys: {error.strerror}") from None
    try:
        _check(path, os.fstat(handle), forbidden=_OTHERS, needed="700", owners={os.geteuid()})
        yield handle
    finally:
        os.close(handle)


def read_closed_file(
    path: Path, folder: int | None = None, *, forbidden: int, owners: set[int] | None = None
) -> str:
    """Return the text of a file that is ours and closed to others.

    Args:
        path: the file; no link.
        folder: descriptor of its folder, where that is open already.
        forbidden: bits that its mode must not have.
        owners: users to whom it may belong; None for ourselves.

    Raises:
        KeysError: it cannot be read, belongs to another user, or has a forbidden bit.
    """
    # Non-blocking: opening a FIFO of that name would wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path if folder is None else path.name, flags, dir_fd=folder)
    except OSError as error:
        raise KeysError(f"cannot read {path}: {error.strerror}") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise KeysError(f"{path} is no file of keys")
        needed = "600" if forbidden & 0o004 else "644"
        _check(path, found, forbidden=forbidden, needed=needed, owners=owners or {os.geteuid()})
        with open(handle, "rb", closefd=False) as source:
            return source.read(_MOST_BYTES).decode("ascii")
    except UnicodeDecodeError:
        raise KeysError(f"{path} is damaged, or no file of keys") from None
    finally:
        os.close(handle)


def _check(
    path: Path, found: os.stat_result, *, forbidden: int, needed: str, owners: set[int]
) -> None:
    if found.st_uid not in owners:
        raise KeysError(f"{path} belongs to another user: sudo chown {os.geteuid()} {path}")
    if stat.S_IMODE(found.st_mode) & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise KeysError(f"{path} is open to others (mode {mode:04o}): chmod {needed} {path}")
