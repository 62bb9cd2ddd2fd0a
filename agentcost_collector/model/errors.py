"""What can go wrong in the world, as exceptions. What is wrong with others' data is a Reason.

AgentcostError
  ConfigError      the user's settings, files or arguments; the command ends with exit code 2
  PermanentError   this input can never be accepted (malformed request, unreadable file)
    UnauthenticatedError, ForbiddenError   nor from this sender
  TransientError   the same call may succeed later (disk full, database locked)
  CorruptionError  what we stored is not what we wrote; stop and say which file
"""

from __future__ import annotations


class AgentcostError(Exception):
    """Base of all our exceptions. The message is one sentence: what, where, what to do."""


class ConfigError(AgentcostError):
    """A setting, argument or configuration file is wrong."""


class PermanentError(AgentcostError):
    """This input can never be accepted; sending it again will not help."""


class UnauthenticatedError(PermanentError):
    """The sender shows no credential that is known and valid."""


class ForbiddenError(PermanentError):
    """The sender's credential does not cover this."""


class TransientError(AgentcostError):
    """The same call may succeed later; nothing of it was kept."""


class CorruptionError(AgentcostError):
    """Stored bytes differ from what was written."""
