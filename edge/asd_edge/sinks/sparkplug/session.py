"""A Sparkplug session, without a socket and without a clock: what happens goes in, what to do comes out.

The order of a connection (Sparkplug 3.0, 5.4 "Edge Node Session Establishment"): CONNECT with the NDEATH as its Will,
SUBSCRIBE, the primary host's STATE if one is waited for, NBIRTH, a DBIRTH for each device, DATA.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from asd_edge.sinks.sparkplug.actions import Action, Leave, Moment, Publication
from asd_edge.sinks.sparkplug.codec import DataType, Metric, Payload, decode, encode
from asd_edge.sinks.sparkplug.metrics import BD_SEQ, MACHINE, NODE, REBIRTH
from asd_edge.sinks.sparkplug.primary_host import PrimaryHost
from asd_edge.sinks.sparkplug.values import Reading, Values
from asd_edge.strict import RefusalError

REBIRTH_EVERY_S = 5.0  # [ours] the births of 64 machines are 200 KiB, and whoever may write NCMD can ask for them
HOST_PATIENCE_S = 30.0  # [ours] a broker that says nothing of the primary host is left for another one, if there is one


@dataclass(slots=True)
class _Device:
    values: Values
    alive: bool = False
    born: bool = False  # in this session


class Session:
    """An edge node and its devices, through all its connections.

    Args:
        group: the group id.
        node: the edge node id.
        primary_host: the host application that is waited for; None for none.
        several_servers: whether there is another server to go to.
        now: when that is.
    """

    def __init__(
        self,
        group: str,
        node: str,
        *,
        primary_host: str | None,
        several_servers: bool,
        now: Moment,
    ) -> None:
        self.born = False
        """Whether data goes out: a host knows of the node, and nobody waits for its rebirth."""
        self._group = group
        self._node = node
        self._values = Values(NODE, now.utc)
        self._devices: dict[str, _Device] = {}
        self._host_name = primary_host
        self._hosts: dict[str, PrimaryHost] = {}  # by server: each keeps a STATE of its own
        self._host: PrimaryHost | None = None
        self._several_servers = several_servers
        self._connected = False
        self._connected_at = 0.0
        self._bd_seq = 0
        self._seq = 0
        self._born_at = 0.0
        self._rebirth_at: float | None = None

    # --- the connection ---

    def will(self, bd_seq: int, now: Moment) -> Publication:
        """Return the Will of the CONNECT that is about to be sent; `bd_seq` is one more than that of the one before."""
        self.lost()
        self._bd_seq = bd_seq
        return self._death(now)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """What to subscribe to, with QoS 1, before `connected`."""
        command = self._topic("NCMD")
        return (command,) if self._host_name is None else (command, PrimaryHost(self._host_name).topic)

    def connected(self, server: str, now: Moment) -> list[Action]:
        """The server has taken the connection, and the subscriptions are on their way."""
        self._connected, self._connected_at = True, now.monotonic
        if self._host_name is None:
            return self._births(now)
        self._host = self._hosts.setdefault(server, PrimaryHost(self._host_name))
        self._host.online = None  # the server says it anew, for it is retained
        return []

    def lost(self) -> None:
        """There is no connection any more."""
        self._connected = self.born = False
        self._rebirth_at = None

    def leave(self, now: Moment) -> list[Action]:
        """Take leave of the hosts; what the daemon does when it stops."""
        if not self._connected:
            return []
        return self._farewell("stopped", now)

    def received(self, topic: str, payload: bytes, now: Moment, *, retained: bool = False) -> list[Action]:
        """A message has come.

        Raises:
            RefusalError: it is nothing that this node understands.
        """
        if not self._connected:
            return []
        if self._host is not None and topic == self._host.topic:
            self._host.told(payload)
            return self._heed_the_host(now)
        if topic == self._topic("NCMD") and not retained:  # a command is for those who are there, not for later
            return self._obey(payload, now)
        return []

    def tick(self, now: Moment) -> list[Action]:
        """Some time has passed; called about once a second."""
        if self._rebirth_at is not None and now.monotonic >= self._rebirth_at:
            return self._births(now)
        waits = self._connected and not self.born and self._host is not None and self._host.online is None
        if waits and self._several_servers and now.monotonic - self._connected_at >= HOST_PATIENCE_S:
            return self._farewell(f"nothing is known of {self._host_name} here", now)
        return []

    # --- what there is to tell ---

    def node(self, readings: Iterable[Reading], now: Moment) -> list[Action]:
        """The device has something to say of itself."""
        metrics = self._values.put(readings)
        return [self._message("NDATA", metrics, now)] if self.born and metrics else []

    def speaks_of(self, machine: str) -> bool:
        """Whether values of a machine go out now."""
        device = self._devices.get(machine)
        return self.born and device is not None and device.born

    def device(self, machine: str, readings: Iterable[Reading], now: Moment) -> list[Action]:
        """A machine's metrics have values; where they do not go out now, its next birth tells them.

        What is heard of a machine that is dead was heard before, so it is no present value any more.
        """
        device = self._device(machine, now)
        metrics = device.values.put(readings, deaf=not device.alive)
        return [self._message("DDATA", metrics, now, machine)] if self.born and device.born and metrics else []

    def heard(self, alive: Collection[str], now: Moment) -> list[Action]:
        """These are the machines whose source is alive."""
        actions: list[Action] = []
        for machine in alive:
            self._device(machine, now).alive = True
            if self.born and not self.speaks_of(machine):
                actions.append(self._birth_of(machine, now))
        for machine, device in self._devices.items():
            if machine in alive or not device.alive:
                continue
            actions += self.device(machine, device.values.silence(now.utc), now)
            device.alive = False
            if self.speaks_of(machine):
                actions.append(self._death_of(machine, now))
        return actions

    def history(self, machine: str, rows: Iterable[Sequence[Reading]], now: Moment) -> list[Action]:
        """Tell what a host should have been told before, while `born`. A dead device lives until `history_ends`."""
        device = self._device(machine, now)  # maybe of one that is not there any more
        metrics = device.values.history(rows)
        if not metrics:  # events of another version, of which this one knows nothing
            return []
        births: list[Action] = [] if device.born else [self._birth_of(machine, now)]
        return [*births, self._message("DDATA", metrics, now, machine)]

    def history_ends(self, now: Moment) -> list[Action]:
        """Nothing waits any more that a host should have been told before."""
        dead = [machine for machine, device in self._devices.items() if device.born and not device.alive]
        return [self._death_of(machine, now) for machine in dead] if self.born else []

    def _device(self, machine: str, now: Moment) -> _Device:
        if machine not in self._devices:
            self._devices[machine] = _Device(Values(MACHINE, now.utc))
        return self._devices[machine]

    # --- births and deaths ---

    def _births(self, now: Moment) -> list[Action]:
        self.born, self._born_at, self._rebirth_at = True, now.monotonic, None
        self._seq = 0
        self._values.put([Reading(BD_SEQ, self._bd_seq, now.utc), Reading(REBIRTH, False, now.utc)])
        for device in self._devices.values():
            device.born = False
        alive = [machine for machine, device in self._devices.items() if device.alive]
        node = self._message("NBIRTH", self._values.birth(), now)
        return [node, *(self._birth_of(machine, now) for machine in alive)]

    def _birth_of(self, machine: str, now: Moment) -> Publication:
        device = self._devices[machine]
        device.born = True
        return self._message("DBIRTH", device.values.birth(), now, machine)

    def _death_of(self, machine: str, now: Moment) -> Publication:
        self._devices[machine].born = False
        return self._message("DDEATH", (), now, machine)

    def _death(self, now: Moment) -> Publication:
        number = Metric(BD_SEQ, DataType.INT64, self._bd_seq, now.utc)
        return Publication(self._topic("NDEATH"), encode(Payload(now.utc, (number,))), qos=1)

    def _farewell(self, reason: str, now: Moment) -> list[Action]:
        self.lost()
        return [self._death(now), Leave(reason)]

    # --- what others say ---

    def _heed_the_host(self, now: Moment) -> list[Action]:
        assert self._host is not None
        if self._host.online and not self.born and self._rebirth_at is None:
            return self._births(now)
        # While nothing is born there is nobody to leave: with one server, a node waits for its host there.
        leaves = self.born or self._rebirth_at is not None or self._several_servers
        if self._host.online is False and leaves:
            return self._farewell(f"{self._host.name} is offline here", now)
        return []

    def _obey(self, payload: bytes, now: Moment) -> list[Action]:
        metrics = decode(payload).metrics
        if not any(metric.name == REBIRTH and metric.value is True for metric in metrics):
            raise RefusalError("a command that is no Rebirth", f"{REBIRTH} = true")
        if not (self.born or self._rebirth_at is not None):
            return []  # the births come anyway
        at = self._born_at + REBIRTH_EVERY_S
        if now.monotonic >= at:
            return self._births(now)
        self.born, self._rebirth_at = False, at  # until then no data, as tck-id-…-rebirth-action-1 has it
        return []

    # --- messages ---

    def _topic(self, kind: str, machine: str | None = None) -> str:
        return f"spBv1.0/{self._group}/{kind}/{self._node}" + ("" if machine is None else f"/{machine}")

    def _message(self, kind: str, metrics: Sequence[Metric], now: Moment, machine: str | None = None) -> Publication:
        payload = Payload(now.utc, tuple(metrics), self._seq)
        self._seq = (self._seq + 1) % 256
        return Publication(self._topic(kind, machine), encode(payload))
