"""Messages to a Sparkplug edge node as a broken or hostile host may send them."""

from __future__ import annotations

import json
from random import Random

from asd_edge.sinks.sparkplug.codec import DataType, Metric, Payload, encode

COMMAND, STATE = "spBv1.0/asd-edge/NCMD/box", "spBv1.0/STATE/scada"

_NAMES = ("Node Control/Rebirth", "Node Control/Reboot", "bdSeq", "", "score", "x" * 3000, None)
_STATES: tuple[object, ...] = (True, False, None, 0, -1, 1 << 62, 1 << 64, 1e300, "true", "", [], {})


def rebirth() -> bytes:
    """Return the genuine command."""
    return encode(Payload(1, (Metric("Node Control/Rebirth", DataType.BOOLEAN, True, timestamp=1),), seq=0))


def state(*, online: bool, timestamp: int) -> bytes:
    """Return a genuine STATE."""
    return json.dumps({"online": online, "timestamp": timestamp}).encode()


def make(random: Random) -> tuple[str, bytes]:
    """Return topic and payload of the next message."""
    topic = random.choice((COMMAND, COMMAND, STATE))
    genuine = (_command(random) or rebirth()) if topic == COMMAND else _state(random)
    match random.randrange(5):
        case 0:
            return topic, genuine
        case 1:
            return topic, genuine[: random.randrange(len(genuine))]
        case 2:
            return topic, random.randbytes(random.choice((0, 1, 5, 200, 20_000)))
        case _:
            data = bytearray(genuine)
            for _ in range(random.choice((1, 1, 2, 8))):
                data[random.randrange(len(data))] = random.randrange(256)
            return topic, bytes(data)


def _command(random: Random) -> bytes:
    metrics = []
    for _ in range(random.choice((1, 1, 1, 0, 3, 400))):
        datatype = random.choice(tuple(DataType))
        value = random.choice(("on", "")) if datatype in (DataType.STRING, DataType.TEXT) else random.choice((0, 1))
        alias = random.choice((None, None, 0, 1 << 63))
        metrics.append(Metric(random.choice(_NAMES), datatype, value, timestamp=1, alias=alias))
    return encode(
        Payload(random.choice((None, 0, 1 << 63)), tuple(metrics), seq=random.choice((None, 0, 255, 1 << 40)))
    )


def _state(random: Random) -> bytes:
    told = {"online": random.choice(_STATES), "timestamp": random.choice(_STATES)}
    if random.random() < 0.3:
        del told[random.choice(tuple(told))]
    if random.random() < 0.3:
        told["more"] = random.choice(_STATES)
    return json.dumps(told).encode()
