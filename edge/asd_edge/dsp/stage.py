"""The contract of every streaming stage; tests/contracts holds each implementation to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

Taken = TypeVar("Taken")
Given = TypeVar("Given")
State = TypeVar("State")


class Stage(ABC, Generic[Taken, Given, State]):
    """A causal map from a stream of items to a stream of items, fed in blocks of any size, 0 and 1 included.

    How the stream is cut into blocks changes nothing in what comes out. Everything a stage remembers between
    calls is one dataclass made by `initial_state`, so that a reset cannot forget a part of it.
    """

    def __init__(self) -> None:
        self._state = self.initial_state()

    @property
    @abstractmethod
    def latency(self) -> int:
        """Most items taken from the start of a given item until it is complete, that one included."""

    @abstractmethod
    def initial_state(self) -> State:
        """Return the memory of a stage that has heard nothing."""

    @abstractmethod
    def push(self, taken: Taken) -> Given:
        """Take the next items; return what they complete. The result shares no memory with the stage."""

    @abstractmethod
    def flush(self) -> Given:
        """End the stream: return what is still owed and stand as new."""

    def reset(self) -> None:
        """Stand as new."""
        self._state = self.initial_state()
