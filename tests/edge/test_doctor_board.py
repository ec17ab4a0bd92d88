"""What the doctor reads of a board: a Jetson's and a PC's files of the kernel, laid out in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from asd_edge.doctor import gpu, heat, memory, power
from asd_edge.doctor.device import Answer, Device
from asd_edge.doctor.disk import check_wear
from asd_edge.doctor.finding import Finding, Level
from asd_edge.doctor.tensorrt import has_nvidia_gpu
from tests.edge.doctor_trees import JETSON, PC, lay_out

Look = Callable[[Device], Iterable[Finding]]


def worst(look: Look, root: Path, files: Mapping[str, str], changed: Mapping[str, str] | None = None) -> Finding:
    findings = list(look(Device(root=lay_out(root, files, changed))))
    return max(findings, key=lambda finding: list(Level).index(finding.level))


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (gpu.check_gpu, ["Orin Nano", "L4T 36.4.3 (JetPack 6)", "GPU load 25 %", "306 of 1020 MHz"]),
        (power.check_power_mode, ["1 25W", "others: 0 15W, 2 MAXN_SUPER"]),
        (power.check_cpu, ["6 cores", "schedutil", "1.34 GHz of 1.73"]),
        (heat.check_temperature, ["hottest tj-thermal 52 °C", "cpu-thermal 51 of 99 °C (passive)"]),
        (heat.check_throttling, ["none"]),
        (memory.check_memory, ["4731 of 7802 MB", "swap 100 of 3901 MB used (zram)"]),
        (check_wear, ["mmcblk0: 10 to 20 %"]),
    ],
)
def test_a_healthy_jetson(look: Look, said: list[str], tmp_path: Path) -> None:
    found = worst(look, tmp_path, JETSON)
    assert found.level == Level.OK, found
    assert [part for part in said if part not in found.found] == [], found.found


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (power.check_power_mode, ["balanced"]),
        (power.check_cpu, ["3 of 4 cores on", "powersave"]),  # intel_pstate's powersave is not slow
        (heat.check_temperature, ["coretemp Package id 0 47 of 80 °C (max)"]),
        (heat.check_throttling, ["none"]),
        (memory.check_memory, ["12731 of 16302 MB", "no swap"]),
        (check_wear, ["no eMMC"]),
    ],
)
def test_a_healthy_pc(look: Look, said: list[str], tmp_path: Path) -> None:
    found = worst(look, tmp_path, PC)
    assert found.level == Level.OK, found
    assert [part for part in said if part not in found.found] == [], found.found


CPUFREQ = "/sys/devices/system/cpu/cpufreq/policy0"
ZONE = "/sys/class/thermal/thermal_zone0"


@pytest.mark.parametrize(
    ("look", "changed", "level", "said"),
    [
        (gpu.check_gpu, {"/etc/nv_tegra_release": "# R35 (release), REVISION: 6.0, GCID"}, "warning", "JetPack 5"),
        (gpu.check_gpu, {"/etc/nv_tegra_release": "nothing"}, "warning", "no /etc/nv_tegra_release"),
        (power.check_power_mode, {"/var/lib/nvpmodel/status": "pmode:0007"}, "warning", "power mode 7 without a name"),
        (power.check_power_mode, {"/var/lib/nvpmodel/status": ""}, "warning", "nvpmodel's status is ''"),
        (power.check_cpu, {f"{CPUFREQ}/scaling_governor": "powersave"}, "warning", "the lowest clock"),
        (heat.check_temperature, {f"{ZONE}/temp": "95000"}, "warning", "95 of 99 °C (passive)"),
        (heat.check_temperature, {f"{ZONE}/temp": "101000"}, "fault", "101 °C"),
        (heat.check_throttling, {"/sys/class/hwmon/hwmon3/oc3_event_cnt": "17"}, "warning", "over-current 17 times"),
        (heat.check_throttling, {"/sys/class/hwmon/hwmon3/oc1_event_cnt": "1"}, "warning", "under-voltage 1 times"),
        (
            heat.check_throttling,
            {"/sys/class/thermal/cooling_device1/cur_state": "4"},
            "warning",
            "cpufreq-cpu0 slowed by 4 of 19 steps",
        ),
        (
            heat.check_throttling,
            {"/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "9"},
            "warning",
            "for heat 9 times",
        ),
        (
            memory.check_memory,
            {"/proc/meminfo": "MemTotal: 7802040 kB\nMemAvailable: 200000 kB\n"},
            "warning",
            "200 of",
        ),
        (memory.check_memory, {"/proc/meminfo": "MemTotal: 7802040 kB\nMemAvailable: 30000 kB\n"}, "fault", "30 of"),
        (check_wear, {"/sys/block/mmcblk0/device/life_time": "0x01 0x0a"}, "warning", "90 to 100 %"),
        (check_wear, {"/sys/block/mmcblk0/device/life_time": "0x0b 0x01"}, "fault", "its life is over"),
        (check_wear, {"/sys/block/mmcblk0/device/pre_eol_info": "0x02"}, "warning", "mmcblk0"),
        (check_wear, {"/sys/block/mmcblk0/device/pre_eol_info": "0x03"}, "fault", "mmcblk0"),
    ],
)
def test_what_is_wrong_with_a_jetson(
    look: Look, changed: dict[str, str], level: str, said: str, tmp_path: Path
) -> None:
    found = worst(look, tmp_path, JETSON, changed)
    assert (found.level.value, said in found.found) == (level, True), found
    assert found.remedy is not None


def test_a_sensor_that_is_switched_off_has_no_temperature(tmp_path: Path) -> None:
    zone = {"/sys/class/thermal/thermal_zone1/type": "cv0-thermal", "/sys/class/thermal/thermal_zone1/temp": "-256000"}
    found = worst(heat.check_temperature, tmp_path, zone)
    assert (found.level, found.found) == (Level.OK, "no sensor to be read")


@pytest.mark.parametrize("look", [power.check_power_mode, power.check_cpu, heat.check_temperature,
                                  heat.check_throttling, memory.check_memory, check_wear])  # fmt: skip
def test_a_kernel_that_tells_nothing_is_no_fault(look: Look, tmp_path: Path) -> None:
    assert worst(look, tmp_path, {}).level == Level.OK


@pytest.mark.parametrize("text", ["", "\0", "ﬀ", "99999999999999999999999999", "-1", "0x", "1\n2"])
@pytest.mark.parametrize("look", [power.check_power_mode, power.check_cpu, heat.check_temperature,
                                  heat.check_throttling, memory.check_memory, check_wear])  # fmt: skip
def test_nonsense_in_any_file_crashes_no_check(look: Look, text: str, tmp_path: Path) -> None:
    assert list(look(Device(root=lay_out(tmp_path, dict.fromkeys(JETSON | PC, text))))) != []


def test_what_nvidia_smi_answers() -> None:
    answer = Answer(0, "NVIDIA RTX A2000, 8.6, 550.54.14, 6138, 512, 44\nNVIDIA L4, 8.9, 550.54.14, 23034, 1, 39\n", "")
    first, second = gpu.judge_nvidia_smi(answer)
    assert (first.level, first.subject) == (Level.OK, "gpu0")
    assert first.found == "NVIDIA RTX A2000, compute capability 8.6, driver 550.54.14, 512 of 6138 MiB used, 44 °C"
    assert second.subject == "gpu1"


def test_a_driver_of_another_kernel_is_said() -> None:
    (found,) = gpu.judge_nvidia_smi(Answer(9, "Failed to initialize NVML: Driver/library version mismatch\n", ""))
    assert found.level == Level.WARNING
    assert "Driver/library version mismatch" in found.found


def test_a_gpu_is_seen_on_the_bus_without_its_driver(tmp_path: Path) -> None:
    assert not has_nvidia_gpu(Device(root=lay_out(tmp_path / "pc", PC)))
    nvidia = {
        "/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de",
        "/sys/bus/pci/devices/0000:01:00.0/class": "0x030200",
    }
    assert has_nvidia_gpu(Device(root=lay_out(tmp_path / "with", PC, nvidia)))
    sound = {
        "/sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de",
        "/sys/bus/pci/devices/0000:01:00.1/class": "0x040300",
    }
    assert not has_nvidia_gpu(Device(root=lay_out(tmp_path / "hdmi", PC, sound)))
