"""What threads free goes back to the system."""

from __future__ import annotations

import subprocess
import sys

# Each of sixteen threads frees a block of 2 MB that lies below one still in use, twice: after the first time glibc
# takes 2 MB for a size that is worth keeping.
CHILD = """
import ctypes, sys, threading
from pathlib import Path
if sys.argv[1] == "steady":
    from asd_edge.daemon.heap import steady_heap
    steady_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def resident():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS"))
def use():
    for _ in range(2):
        block = libc.malloc(2 << 20)
        ctypes.memset(block, 1, 2 << 20)
        libc.malloc(64 << 10)
        libc.free(block)
    done.wait()
done = threading.Barrier(17)
before = resident()
threads = [threading.Thread(target=use) for _ in range(16)]
for thread in threads:
    thread.start()
while done.n_waiting < 16:
    pass
print(resident() - before)
done.wait()
"""


def grown_kib(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", CHILD, how], capture_output=True, text=True, check=True).stdout)


def test_blocks_that_threads_free_go_back_to_the_system() -> None:
    assert grown_kib("steady") < 4_096
    assert grown_kib("as it is") > 8_192  # else this shows nothing
