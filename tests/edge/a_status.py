"""A status with something of everything."""

from __future__ import annotations

from asd_edge.status import (
    AlarmStatus,
    DestinationStatus,
    FileStatus,
    LinkStatus,
    MachineStatus,
    MessageStatus,
    MicrophoneStatus,
    OutboxStatus,
    ProcessStatus,
    Status,
    WindowStatus,
)

NOW = "2026-03-01T12:00:00.000Z"


def a_status() -> Status:
    """A fan that alarms, a pump whose microphone is dead, and a broker that is away."""
    fan = MachineStatus(
        machine="fan-1",
        state="running",
        health="normal",
        error=None,
        enrolling=None,
        window=WindowStatus(
            time=NOW, state="scored", level_dbfs=-31.5, score=0.31, threshold=0.25, condition="rated", delay_s=0.1
        ),
        alarm=AlarmStatus(since=NOW, condition="rated", severity=620, suppressed=None),
        microphone=None,
    )
    pump = MachineStatus(
        machine="pump-2",
        state="running",
        health="failure",
        error="The microphone: silent",
        enrolling=None,
        window=None,
        alarm=None,
        microphone=MicrophoneStatus(
            level_dbfs=-120.0,
            floor_dbfs=None,
            clipped_share=0.0,
            dc=0.0,
            overruns=3,
            reopened=1,
            lost_s=2.5,
            faults=("silent",),
            warnings=(),
            unusable_file=None,
        ),
    )
    mqtt = DestinationStatus(
        name="mqtt",
        link=LinkStatus(
            broker="10.0.0.1:8883",
            protocol="5",
            fallback=False,
            connected=False,
            denials_visible=True,
            trouble="Connection refused",
        ),
        messages=MessageStatus(published=10, acknowledged=9, denied=0),
        outbox=OutboxStatus(
            waiting=1234, oldest_s=86.5, parked=1, dropped_scores=0, dropped_alarms=0, uncommitted=0, fault=None
        ),
    )
    return Status(
        device="box",
        time=NOW,
        version="1.0",
        bundle='a "fan"\\pump\nbundle',
        engine="onnxruntime/int8",
        engine_reason=None,
        health="maintenance_required",
        troubles=("evidence: the disk is full",),
        machines=(fan, pump),
        destinations=(mqtt,),
        process=ProcessStatus(
            pid=1, uptime_s=93_784.0, memory_mib=150.5, descriptors=31, threads=("scorer", "mqtt"), stuck=()
        ),
        file=FileStatus(path="/etc/asd-edge/device.toml", sha256="5e" * 32, loaded=NOW, reload_error=None),
    )
