"""Every error this project raises on purpose, as one tree.

::

    MonitorError
        InputError            a record, header, annotation or data folder that cannot be used
            LeadError         the record has no such lead
        DeviceError           a device that is unknown, absent or busy
        ConfigError           a setting, address or combination that is refused
            EndpointError     an address that cannot be bound or reached, or refuses our key
            KeysError         keys that are missing, damaged or open to others
        AuthenticationError   a socket that its keys no longer protect
        ArtifactError         weights that are missing, altered, or made for something else
        WireError             a message that is not one of ours
            BusyError         a stream that another source sends now
            MissingChunkError a chunk that came before the one that precedes it
        LogError              the alert log cannot be opened, read or written
            DamageError       a row of it is not what was written
        SnapshotError         the saved state of a stream, of another version or damaged

The command line prints any of them as one line and exits with 2; everything else is a bug
and exits with 1. The text of an error states what is wrong, where, and what to do next.
"""


class MonitorError(Exception):
    """Something that the user can put right; its text is one line that explains how."""


class InputError(MonitorError):
    """A record, header, annotation or data folder cannot be used."""


class LeadError(InputError):
    """The record has no such lead."""


class DeviceError(MonitorError):
    """A device is unknown, absent or busy."""


class ConfigError(MonitorError):
    """A setting, address or combination of them is refused."""


class EndpointError(ConfigError):
    """An address cannot be bound or reached, or refuses our key."""


class KeysError(ConfigError):
    """Keys, or the access list, are missing, damaged or open to others."""


class AuthenticationError(MonitorError):
    """A socket is no longer protected by keys, or accepts no key at all."""


class ArtifactError(MonitorError):
    """Weights are missing, altered, or were made for something else."""


class WireError(MonitorError):
    """A frame is not a message of this project."""


class BusyError(WireError):
    """Another source sends this stream now."""


class MissingChunkError(WireError):
    """A chunk arrived before the one that precedes it."""


class LogError(MonitorError):
    """The alert log cannot be opened, read or written."""


class DamageError(LogError):
    """A row of the log is not as it was written; others can be read."""


class SnapshotError(MonitorError):
    """The saved state of a stream was written by another version, or is damaged."""
