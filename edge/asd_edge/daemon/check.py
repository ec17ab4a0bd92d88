"""`asd-edge run --check`: try everything the daemon needs once, without listening on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import DeviceConfig, MachineTable, MqttTable, SparkplugTable
from asd_edge.control import serving
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.daemon.remote import authorised_keys
from asd_edge.errors import AsdEdgeError, SourceError, StateError
from asd_edge.serving.served import served_bundle
from asd_edge.serving.verify import check_served
from asd_edge.sinks.link.probe import identity, probe, probe_topic
from asd_edge.sources.block import Source
from asd_edge.sources.open import is_fifo, may_pause, open_machine
from asd_edge.sources.shared import SharedDevices

_SOUND_WITHIN_S = 7.0  # a microphone loses patience after 5 s and says more about it
_LETS_GO_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was tried, and how it went: `error` is None when it works."""

    what: str
    result: str
    error: AsdEdgeError | None = None


def check(config: DeviceConfig) -> Iterator[Finding]:
    """Try the bundle, each machine's state and source, and the brokers; report each as soon as it is known."""
    bundles: list[Bundle] = []
    yield _try("bundle", lambda: _load(config, bundles))
    shared = None
    try:
        shared = SharedDevices(config.machines)
    except AsdEdgeError as error:
        yield Finding("machines that share a microphone", "failed", error)
    taken = _taken(config)
    for machine in config.machines:
        for bundle in bundles:
            yield _try(f"machine {machine.id}: conditions", partial(_known, config, machine, bundle))
            if is_fifo(machine.source) and machine.id in taken:
                yield Finding(f"machine {machine.id}: source", "not tried: the running daemon reads from this FIFO")
            else:
                yield _try(f"machine {machine.id}: source", partial(_hear, machine, bundle, shared))
    if config.remote.enabled:
        yield _try("remote enrollment", lambda: f"taken from {', '.join(authorised_keys(config.remote).names)}")
    for table in config.destinations:
        yield _try(f"broker of [{table.name}]", partial(_publish, table, config.device.id))


def _try(what: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(what, attempt())
    except AsdEdgeError as error:
        return Finding(what, "failed", error)


def _taken(config: DeviceConfig) -> set[str]:
    """Return the machines of the daemon that runs: what is read from a FIFO would be lost to it."""
    try:
        return {machine.machine for machine in serving(config.device.state_dir).machines}
    except StateError:
        return set()


def _load(config: DeviceConfig, loaded: list[Bundle]) -> str:
    bundle = served_bundle(config)
    untrue = check_served(bundle, bundle.pipeline(threads=config.bundle.threads))
    loaded.append(bundle)
    signed = f", signed by {', '.join(bundle.signed_by)}" if bundle.signed_by else ""
    return f"{bundle.manifest.name} ({bundle.bundle_id[:12]}), {bundle.kind}/{bundle.precision}{signed}" + (
        f"; {untrue}" if untrue else ""
    )


def _known(config: DeviceConfig, machine: MachineTable, bundle: Bundle) -> str:
    known = KnownConditions(bundle, machine, config.device.state_dir).load()
    if known is None:
        return "none yet: enroll one with `asd-edge enroll`"
    return ", ".join(condition.name for condition in known.conditions)


def _hear(machine: MachineTable, bundle: Bundle, shared: SharedDevices | None) -> str:
    rate = bundle.manifest.front_end.sample_rate
    if may_pause(machine.source):
        open_machine(machine, rate=rate).close()
        return "watched: what comes into it will be heard"
    answers: SimpleQueue[str | Exception] = SimpleQueue()
    opened: list[Source] = []

    def listen() -> None:
        try:
            source = open_machine(machine, rate=rate, shared=shared)
            opened.append(source)
            try:
                block = next(source.blocks())
                answers.put(f"sound arrives ({len(block.samples)} samples at {rate} Hz)")
            finally:
                source.close()
        except StopIteration:
            answers.put(_no_sound(machine, "a source that ended without a sample"))
        except Exception as error:
            answers.put(error)

    # What does not even answer a close is left behind in a thread that ends with the process.
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        answer = answers.get(timeout=_SOUND_WITHIN_S)
    except Empty:
        for source in opened:  # a recorder left behind would keep the device from the next who wants it
            source.close()
        listener.join(_LETS_GO_WITHIN_S)
        raise _no_sound(machine, f"nothing for {_SOUND_WITHIN_S:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _publish(table: MqttTable | SparkplugTable, device: str) -> str:
    spoken = probe(table, probe_topic(table, device))
    return f"{table.servers[0]} takes messages, MQTT {spoken}, {identity(table)}"


def _no_sound(machine: MachineTable, found: str) -> SourceError:
    return SourceError(
        f"No sound from {machine.source}",
        found=found,
        expected="samples",
        remedy="Check that the device is connected, or that something writes into the FIFO.",
    )
