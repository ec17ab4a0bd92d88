"""The GPU: NVIDIA's board and release on a Jetson, nvidia-smi's answer elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asd_edge.doctor.device import Answer, Device, ask, read_number, silent
from asd_edge.doctor.finding import Finding, ok, warning
from asd_edge.doctor.tensorrt import has_nvidia_gpu

_JETPACK = {35: 5, 36: 6, 38: 7}  # by major release of L4T
_OLDEST_JETPACK = 6  # Python 3.10
_SMI_S = 8.0  # without its persistence mode a driver of many GPUs takes seconds
_ASKED = ("name", "compute_cap", "driver_version", "memory.total", "memory.used", "temperature.gpu")
_LOADS = ("/sys/devices/gpu.0/load", "/sys/devices/platform/gpu.0/load", "/sys/devices/platform/*.gpu/load",
          "/sys/devices/platform/bus@0/*.gpu/load")  # fmt: skip


def check_gpu(device: Device) -> Iterator[Finding]:
    """Yield the GPUs that can be found."""
    if device.is_jetson:
        yield jetson(device)
        return
    try:
        answer = ask("nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits", timeout_s=_SMI_S)
    except TimeoutError as error:
        yield silent(error)
        return
    if answer is not None:
        yield from judge_nvidia_smi(answer)
    elif has_nvidia_gpu(device):
        yield warning("an NVIDIA GPU, but no nvidia-smi", "Install NVIDIA's driver, or leave the network to the CPU.")
    else:
        yield ok("none of NVIDIA: the network runs on the CPU")


def jetson(device: Device) -> Finding:
    """Say which Jetson this is, with which release, and how its GPU does."""
    parts = [device.read("/proc/device-tree/model") or "a Jetson of unknown model"]
    release = l4t_release(device.read("/etc/nv_tegra_release") or "")
    jetpack = None
    if release is not None:
        jetpack = _JETPACK.get(release[0])
        parts.append(f"L4T {release[0]}.{release[1]}" + (f" (JetPack {jetpack})" if jetpack else ""))
    loads = [load for pattern in _LOADS for path in device.glob(pattern) if (load := read_number(path)) is not None]
    if loads:
        parts.append(f"GPU load {loads[0] / 10:.0f} %")  # the driver counts in thousandths
    for frequency in device.glob("/sys/class/devfreq/*gpu*"):
        now, most = read_number(frequency / "cur_freq"), read_number(frequency / "max_freq")
        if now and most:
            parts.append(f"{now / 1e6:.0f} of {most / 1e6:.0f} MHz")
            break
    found = ", ".join(parts)
    if release is None:
        return warning(f"{found}; no /etc/nv_tegra_release", "Containers: mount it from the host; else flash JetPack.")
    if jetpack is not None and jetpack < _OLDEST_JETPACK:
        return warning(found, f"Its Python is too old for asd-edge: flash JetPack {_OLDEST_JETPACK} or newer.")
    return ok(found)


def l4t_release(text: str) -> tuple[int, str] | None:
    """Return major and minor release of `# R36 (release), REVISION: 4.3, GCID: …`; None for other text."""
    found = re.match(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return None if found is None else (int(found[1]), found[2])


def judge_nvidia_smi(answer: Answer) -> Iterator[Finding]:
    """Say what nvidia-smi answered, a finding a GPU."""
    rows = [[part.strip() for part in line.split(",")] for line in answer.output.splitlines() if line.strip()]
    if answer.status != 0 or not rows or any(len(row) != len(_ASKED) for row in rows):
        yield warning(
            f"nvidia-smi fails: {answer.last_words}",
            "Load the driver that belongs to this kernel (reboot after an update of it), or leave it to the CPU.",
        )
        return
    for number, (name, capability, driver, total, used, temperature) in enumerate(rows):
        yield ok(
            f"{name}, compute capability {capability}, driver {driver}, {used} of {total} MiB used, {temperature} °C",
            subject=f"gpu{number}",
        )
