"""The one exception tree of asd-edge: every text says what was found, what was expected, what to do."""

from __future__ import annotations


class AsdEdgeError(Exception):
    """An error a user can act on.

    Args:
        what: what went wrong, one clause.
        found: what was there.
        expected: what should have been there.
        remedy: what to do about it, an imperative sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *, found: str, expected: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.found = found
        self.expected = expected
        self.remedy = remedy

    @property
    def line(self) -> str:
        """The error in one line, for a tag of a SCADA system or a line of a table."""
        return f"{self.what}; found: {self.found}; do: {self.remedy}"

    def __str__(self) -> str:
        return f"{self.what}\n  found:    {self.found}\n  expected: {self.expected}\n  remedy:   {self.remedy}"


class ConfigError(AsdEdgeError):
    """A device configuration or a recipe that cannot be used as written."""


class BundleError(AsdEdgeError):
    """A bundle that is missing, damaged, altered, oversized or of another version."""


class SourceError(AsdEdgeError):
    """Sound that cannot be read: wrong format, wrong rate, damaged or missing."""


class StateError(AsdEdgeError):
    """On-device state that cannot be read or written."""


class EnrollmentError(AsdEdgeError):
    """Clips that cannot become an operating condition."""


class EngineError(AsdEdgeError):
    """A network that cannot be loaded or run."""


class SinkError(AsdEdgeError):
    """A broker or another receiver that cannot be used."""


class DataError(AsdEdgeError):
    """A training or evaluation data set that cannot be used."""


class RemoteError(AsdEdgeError):
    """A remote command that a device refused, could not do, or never answered."""


class ServiceError(AsdEdgeError):
    """A systemd service that cannot be installed or removed."""
