"""All checks, in the order they are reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asd_edge.doctor.audio import check_audio_access, check_microphones
from asd_edge.doctor.broker import check_broker
from asd_edge.doctor.bundle import check_bundle, check_conditions, check_parity, check_signature
from asd_edge.doctor.certificates import check_certificates
from asd_edge.doctor.choice import check_choice
from asd_edge.doctor.clock import check_clock
from asd_edge.doctor.daemon import check_daemon
from asd_edge.doctor.device import Device
from asd_edge.doctor.disk import check_disk, check_wear, check_write
from asd_edge.doctor.finding import Check, Finding, fault, ok
from asd_edge.doctor.gpu import check_gpu
from asd_edge.doctor.heat import check_temperature, check_throttling
from asd_edge.doctor.memory import check_memory
from asd_edge.doctor.permissions import check_permissions
from asd_edge.doctor.power import check_cpu, check_power_mode
from asd_edge.doctor.python import check_packages, check_python
from asd_edge.doctor.service import check_service
from asd_edge.doctor.sources import check_sources
from asd_edge.doctor.tensorrt import check_tensorrt


def check_config(device: Device) -> Iterator[Finding]:
    """Yield whether the device file can be used."""
    if device.refusal is not None:
        yield fault(f"{device.refusal.what}: {device.refusal.found}", device.refusal.remedy)
    elif device.config is None:
        yield ok("none given", unseen="sources, broker, permissions, conditions (need --config FILE)")
    else:
        machines = ", ".join(machine.id for machine in device.config.machines)
        yield ok(f"{device.config_file}: device {device.config.device.id} hears {machines}")


CHECKS: Final = (
    Check("config", "the device file", check_config),
    Check("python", "version, architecture", check_python),
    Check("packages", "what asd-edge requires: there, in an accepted version", check_packages),
    Check("tensorrt", "which Python module of TensorRT can be imported, or why none", check_tensorrt, 45.0),
    Check("gpu", "the GPU, its driver or its JetPack", check_gpu),
    Check("power_mode", "nvpmodel's mode, or the firmware's profile", check_power_mode),
    Check("cpu", "cores, governor, highest clock", check_cpu),
    Check("temperature", "sensors against their own limits", check_temperature),
    Check("throttling", "what slows the processors, now and since the start", check_throttling),
    Check("memory", "what is available; swap, zram", check_memory),
    Check("clock", "set by something? year, hardware clock, time zone", check_clock),
    Check("disk", "room, inodes and kind of the file system of `state_dir`", check_disk),
    Check("disk_write", "a file in `state_dir`, written and synced", check_write, 20.0),
    Check("flash_wear", "life of the eMMC that is used up", check_wear),
    Check(
        "permissions", "`state_dir`, device file, passwords and keys: who may read and write them", check_permissions
    ),
    Check("service", "the unit `asd-edge`; whether a daemon answers", check_service),
    Check("microphones", "cards that record, by stable name, and who has them open", check_microphones),
    Check("audio_access", "`/dev/snd`: open to the group audio, and to this user", check_audio_access),
    Check("sources", "the source of each machine: is there what it names", check_sources),
    Check(
        "broker",
        "name, port, TLS and MQTT of each broker, in this order to the first that fails; may the device publish",
        check_broker,
        60.0,
    ),
    Check("certificates", "when the certificates in each `ca_file` and `cert_file` end", check_certificates),
    Check("bundle", "does it load; name, release, graphs", check_bundle, 30.0),
    Check("signature", "who signed the bundle, and whether this device trusts them", check_signature, 30.0),
    Check("conditions", "what each machine is compared with; is it of this bundle", check_conditions),
    Check("choice", "which engine and precision serve here, and what was measured", check_choice, 30.0),
    Check("daemon", "what the running daemon hears with, and how its machines do", check_daemon, 30.0),
    Check("parity", "each graph's golden segments on this device, with onnxruntime", check_parity, 60.0),
)
