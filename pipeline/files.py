"""Files that somebody else may have put where we read or write: pipes, devices, links."""

import os
import stat
from pathlib import Path


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return the first ``most_bytes`` of a regular file.

    Raises:
        OSError: it cannot be read, or is a pipe, a device or a folder.
    """
    # O_NONBLOCK: opening a pipe must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no regular file")
        return file.read(most_bytes)


def create_new(path: Path, mode: int = 0o666) -> int:
    """Create a file in place of what has the name ``path``, and return its descriptor for writing.

    What was there is removed and never followed: a link may lead to any file that we can write.

    Raises:
        OSError: it cannot be created.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, mode)


def replace_file(path: Path, body: bytes, mode: int = 0o600) -> None:
    """Replace the content of ``path``: it has the old one or the new, also after a power cut.

    Args:
        path: of the file; its folder is there.
        body: what it holds from now on.
        mode: of the file; by default its owner alone can read or write it.

    Raises:
        OSError: it cannot be written; its old content is still there.
    """
    beside = path.with_name(f".{path.name}.new")
    with open(create_new(beside, mode), "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    # The new name is durable only once the folder is.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
