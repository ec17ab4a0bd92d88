"""What stands behind the ? of a source: `sim:fan?load=0.8&seed=3`."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TypeVar
from urllib.parse import parse_qsl

from asd_edge.errors import SourceError

Number = TypeVar("Number", int, float)


class Options:
    """The options of one source; an unknown one, one given twice or a bad number is an error.

    Raises:
        SourceError: options that cannot be read.
    """

    def __init__(self, uri: str, text: str, known: Collection[str]) -> None:
        self._uri = uri
        self._values: dict[str, str] = {}
        try:
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
        except ValueError:
            raise self._unusable(text, "name=value&name=value") from None
        for name, value in pairs:
            if name not in known:
                raise self._unusable(f"the unknown option {name!r}", nearest(name, known))
            if name in self._values:
                raise self._unusable(f"the option {name!r} twice", f"{name} once")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """Return an option as it stands, None when it is absent or empty."""
        return self._values.get(name) or None

    def number(self, name: str, kind: type[Number]) -> Number | None:
        """Return an option as a number, None when it is absent.

        Raises:
            SourceError: not a number, or an integer below 0.
        """
        text = self._values.get(name)
        if text is None:
            return None
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or value != value or (kind is int and value < 0):
            raise self._unusable(f"{name}={text}", "a whole number" if kind is int else "a number") from None
        return value

    def _unusable(self, found: str, expected: str) -> SourceError:
        return SourceError(
            f"The source {self._uri!r} cannot be used",
            found=found,
            expected=expected,
            remedy="Correct the source.",
        )


def read_alsa(uri: str) -> tuple[str, int | None]:
    """Return the device of `alsa:NAME[?channels=N]`, and its channels if they are given.

    Raises:
        SourceError: options that cannot be read.
    """
    name, _, options = uri.partition(":")[2].partition("?")
    return name, Options(uri, options, ["channels"]).number("channels", int) or None


def nearest(name: str, known: Collection[str]) -> str:
    """Return what was probably meant, for the `expected` of an error."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"{near[0]!r} (the nearest known one)" if near else f"one of {', '.join(known)}"
