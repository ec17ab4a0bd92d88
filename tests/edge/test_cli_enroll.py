"""Enrollment by its real commands: propose, look, commit, take back, carry away; thresholds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_edge.bundle.site_store import SiteStore
from asd_edge.control import ControlReply, Serving
from asd_edge.daemon.control import ControlServer
from asd_edge.simulator import OperatingState
from tests.edge.device import ASD_EDGE, FAN_SOURCE, asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL

FAN = {"id": "fan-1", "source": FAN_SOURCE, "speed": 0.0}
KNOWN = FAN | {"factory": "fan/00"}


@pytest.fixture(scope="module")
def normal_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{seed}.wav", fan(NORMAL, seed=seed, seconds=10)) for seed in (70, 71, 72)]


@pytest.fixture(scope="module")
def other_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("other")
    state = OperatingState(speed=1.3, load=0.9)
    return [write_clip(folder / f"{seed}.wav", fan(state, seed=seed, seconds=10)) for seed in (80, 81, 82)]


def told_json(*arguments: str | Path) -> Any:
    told = asd_edge(*arguments, "--json")
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_propose_look_commit_list_show_score(bundle: Path, normal_clips: list[Path], tmp_path: Path) -> None:
    which = ("--config", write_device(tmp_path, bundle, 1883, FAN), "--machine", "fan-1")
    store = SiteStore(tmp_path / "state", "fan-1")
    assert "nothing enrolled; see asd-edge enroll" in asd_edge("conditions", "list", *which).stdout
    proposed = asd_edge("enroll", *which, "--condition", "rated", *normal_clips)
    assert proposed.returncode == 0, proposed.stderr
    assert "Nothing has changed" in proposed.stderr  # nobody is at this terminal to say yes
    assert not store.path.exists()
    (kept,) = (tmp_path / "state" / "fan-1" / "proposals").glob("*.json")
    for word in ("70.wav: 10.0 s", "segments used", "threshold", "false alarm a week", "no stored sound"):
        assert word in proposed.stdout
    assert ET.parse(kept.with_suffix(".svg")).getroot().tag.endswith("svg")
    wanted = tmp_path / "elsewhere" / "wanted.svg"
    wanted.parent.mkdir()
    owner = wanted.parent.stat().st_uid
    os.chown(tmp_path / "state", 4242, -1) if os.geteuid() == 0 else None
    asd_edge("enroll", *which, "--condition", "rated", "--propose", "--picture", wanted, *normal_clips)
    assert ET.parse(wanted).getroot().tag.endswith("svg")
    assert wanted.parent.stat().st_uid == owner  # a folder of somebody else's stays his
    committed = told_json("enroll", *which, "--commit", kept.stem, "--author", "bob")
    assert (committed["committed"], committed["revision"]) == (True, 1)
    (listed,) = told_json("conditions", "list", *which)
    assert [condition["name"] for condition in listed["conditions"]] == ["rated"]
    assert (listed["revision"], listed["change"]["author"]) == (1, "bob")
    shown = asd_edge("conditions", "show", *which, "rated").stdout
    for word in ("rated", "by bob", "72.wav"):
        assert word in shown
    scored = asd_edge("score", *which, "--json", normal_clips[0])
    assert {json.loads(line)["condition"] for line in scored.stdout.splitlines()} == {"rated"}
    assert not kept.exists()


def test_an_anomalous_condition_needs_force_and_can_be_taken_back(
    bundle: Path, other_clips: list[Path], tmp_path: Path
) -> None:
    which = ("--config", write_device(tmp_path, bundle, 1883, KNOWN), "--machine", "fan-1")
    refused = asd_edge("enroll", *which, "--condition", "fast", "--yes", *other_clips)
    assert refused.returncode == 1
    assert "REFUSED" in refused.stdout
    for word in ("found:", "anomalous", "factory/source", "--force"):
        assert word in refused.stderr
    forced = told_json("enroll", *which, "--condition", "fast", "--yes", "--force", *other_clips)
    assert forced["report"]["refusal"] is not None
    assert forced["revision"] == 1
    assert told_json("conditions", "rollback", *which) == {"machine": "fan-1", "revision": 2, "conditions": []}
    assert told_json("conditions", "rollback", *which)["conditions"] == ["fast"]
    assert told_json("conditions", "remove", *which, "fast")["conditions"] == []
    unknown = asd_edge("conditions", "remove", *which, "fst")
    assert unknown.returncode == 1
    assert "'fst'" in unknown.stderr


def test_conditions_travel_to_another_device_of_the_same_bundle(
    bundle: Path, normal_clips: list[Path], tmp_path: Path
) -> None:
    devices = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        devices.append(write_device(tmp_path / name, bundle, 1883, FAN))
    one, two = (("--config", device, "--machine", "fan-1") for device in devices)
    carried = tmp_path / "carried.json"
    nothing = asd_edge("conditions", "export", *one, "--out", carried)
    assert nothing.returncode == 1
    assert not carried.exists()
    told_json("enroll", *one, "--condition", "rated", "--yes", *normal_clips)
    assert asd_edge("conditions", "export", *one, "--out", carried).returncode == 0
    assert told_json("conditions", "import", *two, carried, "--yes")["conditions"] == ["rated"]
    stores = [SiteStore(tmp_path / name / "state", "fan-1").load() for name in ("one", "two")]
    assert stores[0].conditions == stores[1].conditions
    carried.write_text(carried.read_text().replace('"machine": "fan-1"', '"machine": "pump-9"'))
    other = asd_edge("conditions", "import", *two, "--yes", carried)
    assert other.returncode == 1
    assert "pump-9" in other.stderr
    taken = asd_edge("conditions", "import", *two, "--other-machine", "--yes", carried)
    assert taken.returncode == 1
    assert "--replace" in taken.stderr
    carried.write_text(carried.read_text().replace(stores[0].embedding_id or "", "0" * 64))
    foreign = asd_edge("conditions", "import", *two, "--other-machine", "--replace", "--yes", carried)
    assert foreign.returncode == 1
    assert "another bundle" in foreign.stderr


def test_thresholds_are_shown_and_set(bundle: Path, normal_clips: list[Path], tmp_path: Path) -> None:
    which = ("--config", write_device(tmp_path, bundle, 1883, KNOWN), "--machine", "fan-1")
    told_json("enroll", *which, "--condition", "rated", "--yes", *normal_clips)
    by_name = {row["condition"]: row for row in told_json("threshold", "show", *which)}
    assert set(by_name) == {"factory/source", "rated"}
    budget = told_json("threshold", "set", *which, "--condition", "rated", "--alarms-per-week", "50", "--yes")
    assert budget["new"]["threshold"] < budget["threshold"] == by_name["rated"]["threshold"]
    told_json("threshold", "set", *which, "--condition", "factory/source", "--value", "0.25", "--yes")
    after = {row["condition"]: row for row in told_json("threshold", "show", *which)}
    assert (after["factory/source"]["threshold"], after["factory/source"]["method"]) == (0.25, "manual")
    assert after["rated"]["threshold"] == budget["new"]["threshold"]
    scored = asd_edge("score", *which, "--json", normal_clips[0]).stdout.splitlines()
    assert {json.loads(line)["threshold"] for line in scored} <= {0.25, budget["new"]["threshold"]}
    deaf = asd_edge("threshold", "set", *which, "--condition", "rated", "--value", "1.5", "--yes")
    assert deaf.returncode == 1
    assert "alarms on nothing" in deaf.stderr
    asked = asd_edge("threshold", "set", *which, "--condition", "rated", "--value", "0.3")
    assert "Nothing has changed" in asked.stderr


def test_enroll_can_record_from_the_machines_source(bundle: Path, tmp_path: Path) -> None:
    which = ("--config", write_device(tmp_path, bundle, 1883, FAN), "--machine", "fan-1", "--condition", "rated")
    told = asd_edge("enroll", *which, "--record", "40", "--yes", "--json")
    assert told.returncode == 0, told.stderr
    assert len(json.loads(told.stdout)["report"]["clips"]) == 4
    assert "the threshold may be too tight" in told.stderr


def _never_recorded(told: subprocess.CompletedProcess[str], *words: str) -> None:
    assert told.returncode == 1
    assert "recording" not in told.stderr.split("error:")[0]
    for word in ("remedy:", *words):
        assert word in told.stderr


def test_nothing_is_recorded_for_a_condition_that_would_be_refused(bundle: Path, tmp_path: Path) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    which = ("enroll", "--config", device, "--machine", "fan-1", "--record", "30")
    _never_recorded(asd_edge(*which, "--condition", "1200 rpm"), "1200 rpm")
    _never_recorded(asd_edge(*which, "--condition", "rated", "--channel", "0"), "--channel")
    _never_recorded(asd_edge(*which), "--condition NAME")
    with SiteStore(tmp_path / "state", "fan-1").exclusive("bob"):
        _never_recorded(asd_edge(*which, "--condition", "rated"), "another enrollment is running: bob")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ((), "neither clips nor --record nor --last"),
        (("--record", "30", "clip.wav"), "clips and --record"),
        (("--last", "30", "--commit", "0" * 16), "--last and --commit"),
        (("--commit", "0" * 16), "no such proposal"),
        (("--discard", "../../etc"), "no such proposal"),
        (("--last", "30"), "Start asd-edge run"),
    ],
)
def test_what_is_meant_must_be_clear(bundle: Path, tmp_path: Path, extra: tuple[str, ...], words: str) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    named = () if extra[:1] in (("--commit",), ("--discard",)) else ("--condition", "rated")
    told = asd_edge("enroll", "--config", device, "--machine", "fan-1", *named, *extra)
    assert told.returncode == 1
    assert words in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "extra",
    [("--propose", "--yes", "x.wav"), ("--propose", "--commit", "0" * 16), ("--commit", "0" * 16, "--condition", "b")],
)
def test_what_contradicts_itself_is_a_usage_error(bundle: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    assert asd_edge("enroll", "--config", device, "--machine", "fan-1", *extra).returncode == 2


@pytest.mark.parametrize("author", ["", "a\nb", "x" * 201])
def test_an_author_who_cannot_stand_under_a_change(bundle: Path, tmp_path: Path, author: str) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    told = asd_edge("conditions", "rollback", "--config", device, "--machine", "fan-1", "--author", author)
    assert told.returncode == 1
    assert "printable characters" in told.stderr


def test_a_recording_of_too_few_seconds_is_a_usage_error(bundle: Path, tmp_path: Path) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    told = asd_edge("enroll", "--config", device, "--machine", "fan-1", "--condition", "a", "--record", "9")
    assert told.returncode == 2
    assert "--record" in told.stderr


def test_a_recording_with_a_gap_is_refused(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrun = tmp_path / "arecord"  # hardware that loses samples cannot be had on demand
    overrun.write_text(
        "#!/bin/sh\nhead -c 80000 /dev/zero\necho 'overrun!!! (at least 125.000 ms long)' >&2\nexec cat /dev/zero\n"
    )
    overrun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    device = write_device(tmp_path, bundle, 1883, {"id": "fan-1", "source": "alsa:default"})
    which = ("--config", device, "--machine", "fan-1", "--condition", "rated")
    told = asd_edge("enroll", *which, "--record", "30")
    assert told.returncode == 1
    assert "lost sound while it was recorded" in told.stderr
    assert "a gap of 0.1" in told.stderr
    assert not (tmp_path / "state" / "fan-1" / "site.json").exists()


def test_clips_are_read_as_the_machine_is_heard(bundle: Path, tmp_path: Path) -> None:
    """The machine's channel and rate hold for its clips too, unless the command says otherwise."""
    machine = {"id": "fan-1", "source": "alsa:default?channels=2", "channel": 1, "source_rate": 48_000}
    which = ("--config", write_device(tmp_path, bundle, 1883, machine), "--machine", "fan-1")
    clips = []
    for seed in (60, 61, 62):
        hum = np.repeat(fan(NORMAL, seed=seed, seconds=10), 3)  # coarse, but the same at 48 kHz
        clips.append(tmp_path / f"{seed}.wav")
        soundfile.write(clips[-1], np.stack([np.zeros_like(hum), hum], axis=1), 48_000, "PCM_16")
    told = asd_edge("enroll", *which, "--condition", "rated", "--yes", *clips)
    assert told.returncode == 0, told.stderr
    assert asd_edge("score", *which, clips[0]).returncode == 0
    silent = asd_edge("enroll", *which, "--condition", "other", "--channel", "0", *clips)
    assert "silent" in silent.stderr


def test_an_unknown_machine_is_a_clear_error(bundle: Path, tmp_path: Path) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    told = asd_edge("conditions", "list", "--config", device, "--machine", "fan-2")
    assert told.returncode == 1
    assert "fan-1" in told.stderr


def test_ten_thousand_clips_are_refused_before_one_is_read(bundle: Path, tmp_path: Path) -> None:
    device = write_device(tmp_path, bundle, 1883, FAN)
    clips = [f"{number}.wav" for number in range(10_000)]
    told = asd_edge("enroll", "--config", device, "--machine", "fan-1", "--condition", "rated", *clips)
    assert told.returncode == 1
    for word in ("10000", "at most 500", "remedy:"):
        assert word in told.stderr


def test_a_full_and_a_read_only_disk_change_nothing(bundle: Path, normal_clips: list[Path], tmp_path: Path) -> None:
    """A tiny file system of its own, filled to the last byte; skipped where nothing may be mounted."""
    state = tmp_path / "state"
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(state)], check=False).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        which = ("--config", write_device(tmp_path, bundle, 1883, FAN), "--machine", "fan-1")
        told_json("enroll", *which, "--condition", "rated", "--yes", *normal_clips)
        before = SiteStore(state, "fan-1").load()
        with (state / "filler").open("wb") as filler:
            filler.write(b"x" * (1 << 20)) if os.statvfs(state).f_bavail > 256 else None
            while os.statvfs(state).f_bavail:
                os.write(filler.fileno(), b"x" * 4096)
        full = asd_edge("enroll", *which, "--condition", "other", "--yes", *normal_clips)
        assert full.returncode == 1
        for word in ("No space left on device", "remedy:"):
            assert word in full.stderr
        assert SiteStore(state, "fan-1").load() == before
        assert not list(state.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
        read_only = asd_edge("conditions", "remove", *which, "rated")
        assert read_only.returncode == 1
        for word in ("Read-only file system", "remedy:"):
            assert word in read_only.stderr
        assert asd_edge("conditions", "show", *which, "rated").returncode == 0  # reading still works
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_a_state_folder_that_cannot_be_written_is_a_clear_error(
    bundle: Path, normal_clips: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file in the way")
    which = ("--config", write_device(tmp_path, bundle, 1883, FAN), "--machine", "fan-1")
    told = asd_edge("enroll", *which, "--condition", "rated", "--yes", *normal_clips)
    assert told.returncode == 1
    assert "Cannot lock the site state" in told.stderr
    assert "remedy:" in told.stderr


def test_ctrl_c_ends_with_130_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    slow = FAN | {"speed": 1.0}
    device = write_device(tmp_path, bundle, 1883, slow)
    command = ("enroll", "--config", str(device), "--machine", "fan-1", "--condition", "rated", "--record", "60")
    with subprocess.Popen([*ASD_EDGE, *command], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith("recording 60 s")
        child.send_signal(signal.SIGINT)
        _, complaint = child.communicate(timeout=15)
    assert child.returncode == 130
    assert "Traceback" not in complaint
    assert not (tmp_path / "state" / "fan-1" / "site.json").exists()


def test_a_daemon_that_hears_with_another_bundle_is_restarted_first(
    bundle: Path, normal_clips: list[Path], tmp_path: Path
) -> None:
    which = ("--config", write_device(tmp_path, bundle, 1883, FAN), "--machine", "fan-1")
    running = Serving(
        name="the-old",
        bundle_id="1f" * 32,
        embedding_id="2e" * 32,
        precision="fp32",
        engine="onnxruntime",
        machines=(),
    )
    server = ControlServer(tmp_path / "state", lambda _: (ControlReply(serving=running), np.zeros(0, np.float32)))
    server.start()
    try:
        refused = asd_edge("enroll", *which, "--condition", "rated", "--yes", *normal_clips)
        forced = asd_edge("enroll", *which, "--condition", "rated", "--yes", "--before-restart", *normal_clips)
        empty = asd_edge("conditions", "rollback", *which)
        back = asd_edge("conditions", "rollback", *which)
    finally:
        server.stop()
    assert (refused.returncode, "hears with the-old (1f1f1f1f1f1f), fp32" in refused.stderr) == (1, True)
    assert "systemctl restart asd-edge" in refused.stderr
    for told in (forced, back):
        assert (told.returncode, "systemctl restart asd-edge" in told.stderr) == (0, True), told.stderr
    assert SiteStore(tmp_path / "state", "fan-1").load().revision == 3
    assert (empty.returncode, "restart" in empty.stderr) == (0, False)
