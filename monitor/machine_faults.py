"""What a machine that refuses memory, threads or processes looks like, in a line for its user."""

import errno
import resource
from collections.abc import Iterator
from typing import Final

_NO_MEMORY: Final = ("cannot allocate memory", "failed to map segment", "load shared object file")
"""What libraries say who could not be loaded, or could not load theirs, for want of memory."""

_NO_THREAD: Final = "can't start new thread"


def machine_fault(error: BaseException) -> str:
    """Return a line about the machine if that is why ``error`` was raised; empty if it is not."""
    for one in _causes(error):
        if _is_about_memory(one):
            return f"not enough memory{_allowed_memory()}: free some, or allow more"
        no_process = isinstance(one, BlockingIOError) and one.errno == errno.EAGAIN
        if no_process or (isinstance(one, RuntimeError) and _NO_THREAD in str(one)):
            most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
            allowed = "" if most == resource.RLIM_INFINITY else f", {most} are allowed (ulimit -u)"
            return f"no more threads or processes can be started{allowed}: end some, or allow more"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from or while handling, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _is_about_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if isinstance(error, SystemError):  # of a library in C that did not see that it got none
        return bool(_allowed_memory())
    text = str(error).lower()
    return isinstance(error, ImportError | OSError) and any(said in text for said in _NO_MEMORY)


def _allowed_memory() -> str:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return ""
    return f", {most // 2**20} MiB are allowed (ulimit -v)"
