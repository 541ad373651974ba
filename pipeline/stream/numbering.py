"""Whether a message of a source changes its stream: by the source's session and the number.

A session sends its stream alone, and numbers its messages from 1 without a hole; whoever does not
know its name can neither continue the stream nor end it. Another session may begin where no source
sends. A source that does not number its messages has the empty session. Pure.
"""

from pipeline.errors import BusyError, MissingChunkError, WireError
from pipeline.schema.messages import Chunk, End
from pipeline.stream.session import StreamSession


def is_news(message: Chunk | End, session: StreamSession | None, *, busy: bool) -> bool:
    """Return whether ``message`` is to be taken; not if it is sent again, though it had arrived.

    Args:
        message: as it was decoded.
        session: the stream, where there is one of this name.
        busy: whether another source sends it now.

    Raises:
        WireError: the source does not send this stream, or numbers its messages and not this one.
        BusyError: another source sends this stream.
        MissingChunkError: the message before this one did not arrive.
    """
    name = message.stream
    known = session is not None and message.session == session.state.source_session
    if isinstance(message, End) and not known:
        why = "which never began" if session is None else "by a source that does not send it"
        raise WireError(f"end of {name}, {why}")
    if busy:
        raise BusyError(f"another source sends {name} now: give this one another name")
    newest = session.state.number if session is not None and known else 0
    if not message.number:
        if newest:
            raise WireError(f"{name}: a message without its number")
        return True
    if session is not None and message.number <= newest and not _adds_to(message, session):
        return False
    if message.number > newest + 1 and not message.unkept:
        raise MissingChunkError(f"{name}: {newest + 1} before {message.number}")
    return True


def _adds_to(message: Chunk | End, session: StreamSession) -> bool:
    """Return whether a message of a known number adds something: a source that resumes may."""
    if isinstance(message, End):
        return not session.state.ending
    return (message.epoch, message.end) > (session.stream.epoch, session.stream.next_sample)
