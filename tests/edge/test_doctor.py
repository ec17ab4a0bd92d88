"""`asd-edge doctor` as a whole: no check hangs or crashes the rest, and its report is what its document says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_edge.doctor.checks import CHECKS
from asd_edge.doctor.device import Device
from asd_edge.doctor.examine import examine, report_of
from asd_edge.doctor.finding import Check, Finding, Line, Report, fault, ok, warning
from asd_edge.errors import ConfigError
from tests.edge.device import ASD_EDGE, asd_edge, write_device
from tests.edge.fan_bundle import make_fan_bundle

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"


def crashing(device: Device) -> Iterator[Finding]:
    yield warning("before", "do it")
    raise ZeroDivisionError("of all things")


def refusing(device: Device) -> Iterator[Finding]:
    raise ConfigError("No such thing", found="a hole", expected="a thing", remedy="Buy one.")
    yield


def test_no_check_takes_the_others_along() -> None:
    released = threading.Event()

    def hanging(device: Device) -> Iterator[Finding]:
        yield ok("so far")
        released.wait(60.0)

    start = time.monotonic()
    checks = [
        Check("crashing", "", crashing),
        Check("hanging", "", hanging, limit_s=0.2),
        Check("refusing", "", refusing),
        Check("silent", "", lambda _: iter(())),
        Check("last", "", lambda _: [fault("this", "that", subject="part", unseen="much")]),
    ]
    lines = list(examine(Device(), checks))
    released.set()
    assert time.monotonic() - start < 30.0
    assert [(line.check, line.level, line.found) for line in lines] == [
        ("crashing", "warning", "before"),
        ("crashing", "fault", "the check itself failed (ZeroDivisionError: of all things)"),
        ("hanging", "ok", "so far"),
        ("hanging", "fault", "no answer within 0.2 s"),
        ("refusing", "fault", "No such thing: a hole"),
        ("last", "fault", "this"),
    ]
    assert (lines[4].remedy, lines[5].subject, lines[5].unseen) == ("Buy one.", "part", "much")
    report = report_of(lines)
    assert (report.faults, report.warnings) == (4, 1)


def doctor(*arguments: str | Path) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Run the command; give its exit code and its findings by check."""
    done = asd_edge("doctor", "--json", *arguments, timeout_s=120.0)
    report = Report.model_validate_json(done.stdout)
    assert done.stderr == ""
    findings: dict[str, list[dict[str, Any]]] = {}
    for line in report.findings:
        findings.setdefault(line.check, []).append(line.model_dump())
    assert report.faults == sum(line.level == "fault" for line in report.findings)
    assert done.returncode == (1 if report.faults else 0)
    return done.returncode, findings


def test_a_device_in_order(broker: Any, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    path = write_device(tmp_path, Path("default"), broker.port, {"id": "fan-1", "source": "sim:fan"})
    code, findings = doctor("--config", path)
    wrong = {check: lines for check, lines in findings.items() if any(line["level"] == "fault" for line in lines)}
    assert (code, wrong) == (0, {})
    everything = {check.name for check in CHECKS} - {"certificates"}  # of a connection without any
    assert set(findings) == everything
    assert [line["subject"] for line in findings["sources"]] == ["fan-1"]
    assert "none yet" in findings["conditions"][0]["found"]
    assert [line["level"] for line in findings["parity"]] == ["ok"] * len(findings["parity"])


def test_every_fault_of_a_device_is_found_at_once(make_broker: Any, tmp_path: Path) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    (tmp_path / "state").write_text("a file, where a folder should be")
    path = write_device(
        tmp_path, tmp_path / "fan.asd", make_broker().port, {"id": "fan-1", "source": "alsa:hw:CARD=Nobody"}
    )
    path.chmod(0o666)
    code, findings = doctor("--config", path)
    assert code == 1
    faults = {check for check, lines in findings.items() if any(line["level"] == "fault" for line in lines)}
    assert {"disk_write", "permissions", "microphones", "sources", "broker"} <= faults
    assert findings["signature"][0]["level"] == "warning"  # allow_unsigned
    assert all(line["remedy"] for lines in findings.values() for line in lines if line["level"] != "ok")


def test_a_device_file_that_cannot_be_used_hides_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text("[device]\nid = 7\n")
    code, findings = doctor("--config", path, "--bundle", tmp_path / "absent.asd")
    assert code == 1
    assert findings["config"][0]["level"] == "fault"
    assert "absent.asd" in findings["bundle"][0]["found"]
    assert {"python", "packages", "clock", "memory"} <= set(findings)


def test_text_is_aligned_and_without_colours_where_nobody_looks(tmp_path: Path) -> None:
    done = subprocess.run(
        [*ASD_EDGE, "doctor"], capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "90"}
    )
    *lines, empty, counted = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert (empty, re.fullmatch(r"\d+ faults?, \d+ warnings?", counted) is not None) == ("", True)
    heads = [line for line in lines if not line.startswith(" ")]
    assert all(re.match(r"(ok|warning|fault) {2,7}", line) and line[8] == " " != line[9] for line in heads)
    assert {line.split()[1] for line in heads} >= {"config", "python", "bundle", "parity"}
    assert all(len(line) <= 90 or len(line.split()[-1]) > 40 for line in lines)


# Everything is loaded by a first look: this Python may lie where another user does not come to.
AS_NOBODY = """
import os, sys
from pathlib import Path
from asd_edge.doctor.checks import CHECKS
from asd_edge.doctor.device import Device
from asd_edge.doctor.examine import examine, report_of
list(examine(Device.of(Path(sys.argv[1])), CHECKS))
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
print(report_of(examine(Device.of(Path(sys.argv[1])), CHECKS)).model_dump_json())
"""


def test_it_needs_no_root() -> None:
    """As another user: what it may not see is said to be unseen."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else; the other tests run without root here")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are root's alone
        folder = Path(name)
        (folder / "secret").mkdir(mode=0o700)
        path = write_device(folder, Path("default"), 1, {"id": "fan", "source": "sim:fan"})
        path.write_text(path.read_text().replace(f"{folder}/state", f"{folder}/secret/state"))
        folder.chmod(0o755)
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, path], capture_output=True, text=True, check=True)
    lines = json.loads(done.stdout)["findings"]
    assert [line for line in lines if "the check itself failed" in line["found"]] == []
    unseen = {line["check"] for line in lines if line["unseen"] is not None}
    assert {"permissions", "conditions", "choice", "disk_write", "service"} <= unseen
    assert {line["check"] for line in lines if line["level"] == "fault"} == {"broker"}  # nobody listens at port 1


def rows(document: str, heading: str) -> list[str]:
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", document, re.M | re.S)
    assert section is not None, f"docs/doctor.md has no section {heading}"
    return [line for line in section[1].splitlines() if line.startswith("|")]


def test_every_check_is_documented_as_the_code_has_it() -> None:
    found = rows(DOCUMENT.read_text("utf-8"), "Checks")[2:]
    wanted = [f"| `{check.name}` | {check.looks_at} | {check.limit_s:g} s |" for check in CHECKS]
    assert [re.sub(r" \|[^|]*\|[^|]*\|$", " |", row) for row in found] == wanted, "\n".join(wanted)
    assert all(len(row.split("|")) == 7 for row in found)  # and what is a warning and a fault


@pytest.mark.parametrize(("heading", "model"), [("The report", Report), ("A finding", Line)])
def test_every_key_of_the_report_is_documented(heading: str, model: Any) -> None:
    wanted = [f"| `{name}` | {field.description} |" for name, field in model.model_fields.items()]
    assert rows(DOCUMENT.read_text("utf-8"), heading)[2:] == wanted, "\n".join(wanted)


def test_the_example_in_the_document_is_a_report() -> None:
    example = re.search(r"```json\n(.*?)```", DOCUMENT.read_text("utf-8"), re.S)
    assert example is not None
    Report.model_validate_json(example[1])
