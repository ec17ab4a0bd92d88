"""Files of a system as its kernel lays them out, in a folder: what the doctor reads of a Jetson and of a PC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# Jetson Orin Nano 8 GB with JetPack 6 (Jetson Linux 36.4): names and formats as in NVIDIA's developer guide,
# "Platform Power and Performance", and in the kernel's Documentation/ABI.
JETSON = {
    "/proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "/proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    "/sys/devices/platform/bus@0/17000000.gpu/load": "253\n",
    "/sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "/sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "/var/lib/nvpmodel/status": "pmode:0001\n",
    "/etc/nvpmodel.conf": "< PARAM TYPE=FILE NAME=CPU_ONLINE >\nCORE_0 /sys/devices/system/cpu/cpu0/online\n\n"
    "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\n< POWER_MODEL ID=1 NAME=25W >\nCPU_ONLINE CORE_0 1\n\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\nCPU_ONLINE CORE_0 1\n\n< PM_CONFIG DEFAULT=1 >\n",
    "/sys/devices/system/cpu/online": "0-5\n",
    "/sys/devices/system/cpu/present": "0-5\n",
    "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    "/sys/devices/system/cpu/cpufreq/policy0/scaling_driver": "tegra194\n",
    "/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1344000\n",
    "/sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1728000\n",
    "/sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "/sys/class/thermal/thermal_zone0/temp": "51250\n",
    "/sys/class/thermal/thermal_zone0/trip_point_0_type": "critical\n",
    "/sys/class/thermal/thermal_zone0/trip_point_0_temp": "104500\n",
    "/sys/class/thermal/thermal_zone0/trip_point_1_type": "passive\n",
    "/sys/class/thermal/thermal_zone0/trip_point_1_temp": "99000\n",
    "/sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
    "/sys/class/thermal/thermal_zone1/temp": "-256000\n",  # switched off
    "/sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
    "/sys/class/thermal/thermal_zone8/temp": "52031\n",
    "/sys/class/thermal/thermal_zone8/trip_point_0_type": "active\n",  # only starts the fan
    "/sys/class/thermal/thermal_zone8/trip_point_0_temp": "51000\n",
    "/sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "/sys/class/thermal/cooling_device0/cur_state": "1\n",
    "/sys/class/thermal/cooling_device0/max_state": "3\n",
    "/sys/class/thermal/cooling_device1/type": "cpufreq-cpu0\n",
    "/sys/class/thermal/cooling_device1/cur_state": "0\n",
    "/sys/class/thermal/cooling_device1/max_state": "19\n",
    "/sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
    "/sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
    "/sys/class/hwmon/hwmon3/oc1_throt_en": "1\n",
    "/sys/class/hwmon/hwmon3/oc3_event_cnt": "0\n",
    "/proc/meminfo": "MemTotal:        7802040 kB\nMemFree:          431204 kB\nMemAvailable:    4731204 kB\n"
    "SwapTotal:       3901008 kB\nSwapFree:        3801008 kB\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    "/dev/zram0                              partition\t650168\t\t50000\t\t5\n"
    "/dev/zram1                              partition\t650168\t\t50000\t\t5\n",
    "/sys/class/rtc/rtc0/name": "rtc-tegra 3820000.rtc\n",
    "/etc/timezone": "Etc/UTC\n",
    "/sys/block/mmcblk0/device/life_time": "0x02 0x01\n",
    "/sys/block/mmcblk0/device/pre_eol_info": "0x01\n",
}

# A fanless Intel PC with Ubuntu 24.04.
PC = {
    "/sys/devices/system/cpu/online": "0-2\n",
    "/sys/devices/system/cpu/present": "0-3\n",
    "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "powersave\n",
    "/sys/devices/system/cpu/cpufreq/policy0/scaling_driver": "intel_pstate\n",
    "/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "3400000\n",
    "/sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "3400000\n",
    "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "0\n",
    "/sys/firmware/acpi/platform_profile": "balanced\n",
    "/sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "/sys/class/thermal/thermal_zone0/temp": "47000\n",
    "/sys/class/thermal/thermal_zone0/trip_point_0_type": "passive\n",
    "/sys/class/thermal/thermal_zone0/trip_point_0_temp": "0\n",  # not set
    "/sys/class/hwmon/hwmon1/name": "coretemp\n",
    "/sys/class/hwmon/hwmon1/temp1_label": "Package id 0\n",
    "/sys/class/hwmon/hwmon1/temp1_input": "47000\n",
    "/sys/class/hwmon/hwmon1/temp1_max": "80000\n",
    "/sys/class/hwmon/hwmon1/temp1_crit": "100000\n",
    "/sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086\n",
    "/sys/bus/pci/devices/0000:00:02.0/class": "0x030000\n",
    "/proc/meminfo": "MemTotal:       16302040 kB\nMemFree:          431204 kB\nMemAvailable:   12731204 kB\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
}

# One USB microphone beside the two cards that every Orin has.
USB_MICROPHONE = {
    "/proc/asound/cards": " 0 [Device         ]: USB-Audio - USB PnP Sound Device\n"
    "                      C-Media Electronics Inc. USB PnP Sound Device at usb-3610000.usb-2.1, full speed\n"
    " 1 [HDA            ]: tegra-hda - NVIDIA Jetson Orin Nano HDA\n"
    "                      NVIDIA Jetson Orin Nano HDA at 0x3518000 irq 113\n",
    "/proc/asound/card0/id": "Device\n",
    "/proc/asound/card0/usbid": "0d8c:0014\n",
    "/proc/asound/card0/pcm0c/info": "card: 0\ndevice: 0\nstream: CAPTURE\n",
    "/proc/asound/card0/pcm0c/sub0/status": "closed\n",
    "/proc/asound/card0/stream0": "C-Media Electronics Inc. USB PnP Sound Device at usb-3610000.usb-2.1 : USB Audio\n\n"
    "Playback:\n  Status: Stop\n  Interface 1\n    Altset 1\n    Format: S16_LE\n    Channels: 2\n"
    "    Rates: 8000, 16000, 48000\n\n"
    "Capture:\n  Status: Stop\n  Interface 2\n    Altset 1\n    Format: S16_LE\n    Channels: 1\n"
    "    Endpoint: 0x82 (2 IN) (ASYNC)\n    Rates: 44100, 48000\n",
    "/proc/asound/card1/id": "HDA\n",
    "/proc/asound/card1/pcm3p/info": "card: 1\ndevice: 3\nstream: PLAYBACK\n",
}


def lay_out(root: Path, files: Mapping[str, str], changed: Mapping[str, str] | None = None) -> Path:
    """Write the files below `root`, those of `changed` in the place of their likes, and return `root`."""
    for name, text in {**files, **(changed or {})}.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
