"""Limits of the alarms that one stream has of its own. Pure."""

import logging
from collections.abc import Callable

from pipeline.alarms.settings import AlarmSettings, with_limits
from pipeline.errors import ConfigError, WireError
from pipeline.schema.limits import Limited, Limits
from pipeline.schema.public import Alert
from pipeline.stream.session import StreamSession
from pipeline.stream.stream import Stream

logger = logging.getLogger(__name__)


def limited_by(request: Limits, session: StreamSession | None, settings: AlarmSettings) -> Limited:
    """Return the event that follows from a request about a stream, where there is one.

    ``settings`` are those of all streams.

    Raises:
        WireError: there is no such stream, or a limit is refused.
    """
    if session is None:
        raise WireError(f"no stream is called {request.stream}")
    own = {} if request.default else session.state.limits
    limits = {**own, **request.limits}
    try:
        with_limits(settings, limits)
    except ConfigError as error:
        raise WireError(str(error)) from None
    return Limited(stream=request.stream, limits=limits)


def settings_of(session_limits: dict[str, float], settings: AlarmSettings) -> AlarmSettings:
    """Return the settings of a stream with limits of its own.

    Where these do not fit ``settings``, which may be others than before, they are dropped.
    """
    try:
        return with_limits(settings, session_limits)
    except ConfigError as error:
        logger.warning("limits of a stream are dropped: %s", error)
        session_limits.clear()
        return settings


def continue_with(
    limits: dict[str, float],
    session: StreamSession,
    settings: AlarmSettings,
    stream: Callable[..., Stream],
) -> list[Alert]:
    """Let a stream continue with limits of its own; return the alerts that say so.

    ``stream`` makes a stream that continues from a state.
    """
    before, own = session.stream, dict(limits)
    chosen = settings_of(own, settings)
    session.stream = stream(
        before.name, before.fs_hz, leads=before.leads, settings=chosen, state=before.state
    )
    session.state.limits = own
    return session.stream.report_limits(own)
