"""The C library's heap, told to give back what is not used: the daemon runs for years."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
_M_ARENA_MAX = -8
_LARGE = 1 << 20


# glibc gives threads arenas of their own, eight a core, and keeps in them blocks up to the size of the largest one
# that was ever freed. CPython's table of interned strings, 2 MB, is made anew now and then, because reading sound fills
# it with the same words again and again, in whichever thread comes: each arena in turn kept 2 MB that nobody used.
def steady_heap() -> None:
    """Let all threads share one arena, and large blocks go back to the system when they are freed (mallopt(3)).

    Called before there are threads. Another C library than glibc is left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
