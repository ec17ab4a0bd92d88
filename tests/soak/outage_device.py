"""The sink and the outbox of a device, fed with events of simulated time: `python -m tests.soak.outage_device`.

First come those of an outage, as fast as the disk takes them, then live ones in real time until SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

from asd_edge.config import MqttTable, OutboxTable
from asd_edge.events import AlarmChange, WindowScore, WindowState
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport
from asd_edge.sinks.topics import Topics
from tests.soak.outbox_file import read_last_id

MACHINES = 16
ALARM_EVERY_S = 600
"""Every machine's alarm begins or ends so often."""
_STEP = 16_384  # samples from a score to the next
_AT_ONCE_S = 100  # seconds whose events are written together: fewer than the sink gives up scores at
_REPORT = DeviceReport("0", "0" * 64, EngineReport("onnxruntime", "fp32"), ())


def main(port: int, path: Path, outage_s: int) -> None:
    """Live through an outage of so many simulated seconds, and on."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    limits = OutboxTable()
    config, topics = MqttTable(host="127.0.0.1", port=port), Topics("asd-edge", "box")
    sink = MqttSink(config, topics, Outbox(path, limits), limits.history_kib_s, lambda: _REPORT)
    sink.start()
    began = time.time() - outage_s
    fed = 0
    for second in range(outage_s):
        fed += _publish(sink, second, began + second)
        if second % _AT_ONCE_S == 0 or second == outage_s - 1:
            while read_last_id(path) < fed and not over.is_set():  # the sink's own report is a second late
                time.sleep(0.005)
    print("fed", fed, flush=True)
    began = time.monotonic()
    second = outage_s
    while not over.is_set():
        _publish(sink, second, None)
        second += 1
        over.wait(max(0.0, began + second - outage_s - time.monotonic()))
    print("unconfirmed", sink.stop("the outage is over", patience_s=5.0), flush=True)


def _publish(sink: MqttSink, second: int, at: float | None) -> int:
    """Publish a score of each machine, and sometimes an alarm; return how many events. `at`: UTC seconds, None: now."""
    count = MACHINES
    for number in range(MACHINES):
        machine, start, when = f"press-{number:02}", second * _STEP, time.time() if at is None else at
        score = 0.05 + 1e-7 * (second * 37 % 1_000_003)
        sink.publish(
            WindowScore(
                *(machine, start, start + 8 * _STEP, when, WindowState.SCORED, -31.25),
                *(score, 0.312_345_678_9, "rpm1200", float(second) + 0.123, 0.742),
            )
        )
        if second % ALARM_EVERY_S == 37 * number % ALARM_EVERY_S:
            active = second // ALARM_EVERY_S % 2 == 0
            sink.publish(_alarm(machine, when, active=active))
            count += 1
    return count


def _alarm(machine: str, when: float, *, active: bool) -> AlarmChange:
    return AlarmChange(machine, when, active, when, 0.4, 0.312_345_678_9, "rpm1200")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
