"""Limits of the alarms of one stream: what an operator asks for, and the event that follows."""

from typing import Annotated

import msgspec

_Limit = Annotated[float, msgspec.Meta(ge=0.0, le=1e6)]
LimitNumbers = Annotated[dict[str, _Limit], msgspec.Meta(max_length=32)]
"""By name, as in `pipeline.alarms.settings.LIMITS`."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="limits"):
    """To the control socket: from now on a stream has these limits of its own."""

    stream: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    limits: LimitNumbers = {}
    """Added to those that it has of its own."""
    default: bool = False
    """Whether those that it has of its own are taken back before."""


class Limited(msgspec.Struct, frozen=True, kw_only=True, tag="limited"):
    """In the journal: a stream has these limits of its own, and no others."""

    stream: str
    limits: LimitNumbers
