"""The one family of errors users meet: each says what was wrong, where, and what to do."""

from __future__ import annotations


class HackError(Exception):
    """Base of every error this project raises on purpose; the command line prints it without a traceback."""


class AssetError(HackError):
    """A model asset that cannot be read or does not satisfy its schema."""


class ParameterError(HackError, ValueError):
    """A parameter of the wrong shape, range, name or with values that are not finite."""


class FormatError(HackError):
    """A foreign file (clip, mesh, recording, image) that cannot be read or written."""


class MissingDependencyError(HackError, ImportError):
    """An optional package that is needed here but not installed; names the extra to install."""
