"""What goes wrong around a device: its disk, clock, files and broker. The daemon goes on, and says what is wrong.

For each fault: what the status said while it lasted and after it, how many committed events were lost and, where the
daemon was not restarted, how many scores never came.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from random import Random
from typing import Any

from tests.soak import fault_broker, fault_clock, fault_disk, fault_files
from tests.soak.rig import Rig

FAULTS: dict[str, Callable[[Rig, Random], None]] = {
    "disk full": fault_disk.full,
    "disk full, no broker": fault_disk.full_without_broker,
    "disk turned read-only": fault_disk.read_only,
    "read-only disk at the start": fault_disk.read_only_at_start,
    "outbox: header overwritten": fault_files.outbox_header,
    "outbox: middle overwritten": fault_files.outbox_middle,
    "outbox: middle overwritten while it runs": fault_files.outbox_middle_running,
    "all state files overwritten": fault_files.state_files,
    "clock an hour ahead, and back": fault_clock.jumps,
    "clock before NTP": fault_clock.before_ntp,
    "broker's certificate expired": fault_broker.certificate_expired,
    "ACL denies a machine": fault_broker.acl_denies,
}


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Let every fault happen to a device of its own; `quick`: the first three."""
    results: dict[str, Any] = {"seed": seed, "faults": {}}
    for name, happen in list(FAULTS.items())[: 3 if quick else None]:
        print(name, file=sys.stderr)
        with Rig() as rig:
            try:
                happen(rig, Random(f"{seed} {name}"))
                results["faults"][name] = rig.without_paths(rig.judge())
                print(rig.log(), file=sys.stderr)
            except Exception:
                results["faults"][name] = {"failure": traceback.format_exc(), "log": rig.log()}
    return results
