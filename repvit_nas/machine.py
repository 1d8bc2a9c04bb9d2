"""What machine this is: the part of what was measured or trained that no library knows."""

import datetime as dt
import os
import platform
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """Return the processor's model; with family and model number where the name is only a brand.

    Args:
        cpuinfo: Where Linux describes it.
    """
    system = platform.system()
    if system == "Linux" and cpuinfo.is_file():
        text = cpuinfo.read_text(errors="replace")
        name = _field(text, "model name") or _field(text, "Processor") or platform.machine()
        numbers = [_field(text, field) for field in ("cpu family", "model", "stepping")]
        if all(numbers):
            return f"{name} (family {numbers[0]} model {numbers[1]} stepping {numbers[2]})"
        return name
    if system == "Darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.processor()
    return platform.processor() or platform.machine()


def machine(cpuinfo: Path = _CPUINFO, cpufreq: Path = _CPUFREQ) -> dict[str, str]:
    """Return processor, cores, operating system, and governor and frequency where readable.

    Args:
        cpuinfo: Where Linux describes the processor.
        cpufreq: Where it says how fast that runs.
    """
    known = {
        "processor": processor(cpuinfo),
        "cores": str(os.cpu_count() or 1),
        "os": f"{platform.system()} {platform.release()}",
        "governor": _read(cpufreq / "scaling_governor"),
        "frequency": _megahertz(cpuinfo, cpufreq),
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }
    return {key: value for key, value in known.items() if value}


def _field(text: str, name: str) -> str:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _megahertz(cpuinfo: Path, cpufreq: Path) -> str:
    kilohertz = _read(cpufreq / "scaling_cur_freq")
    if kilohertz.isdigit():
        return f"{int(kilohertz) // 1000} MHz"
    text = cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
    value = _field(text, "cpu MHz")
    return f"{float(value):.0f} MHz" if value else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5
        )
    except OSError:
        return ""
    return done.stdout.strip()
