"""The demo's stage: a folder with a device in it, and the real commands as child processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from asd_edge.atomic import atomic_write
from asd_edge.demo.director import CONDITION, DemoError
from asd_edge.simulator import OperatingState, SimulatedMachine
from asd_edge.sinks.topics import Topics

KIND, SECTION = "gearbox", 0
MACHINE = "gearbox-1"
TOPICS = Topics("asd-edge", "demo")
_SEED = 7
_CLIP_S = 10.0
_STOP_S = 15.0


@dataclass(frozen=True)
class Stage:
    """The files of the demo's device.

    Args:
        folder: where they are.
        bundle: what the device computes, as the device file names it.
        rate: samples a second that the bundle wants.
        speed: seconds of sound in one of ours.
        port: of the broker.
    """

    folder: Path
    bundle: str
    rate: int
    speed: float
    port: int

    @property
    def recording(self) -> Path:
        """Everything the device has heard."""
        return self.folder / "heard.wav"

    def prepare(self) -> None:
        """Write the device file."""
        control, record = quote(str(self._control)), quote(str(self.recording))
        source = f"sim:{KIND}?unit={SECTION}&seed={_SEED}&control={control}&record={record}"
        self._device_file.write_text(
            f"[device]\nid = {json.dumps(TOPICS.device)}\nstate_dir = {json.dumps(str(self.folder / 'state'))}\n"
            f"[bundle]\npath = {json.dumps(self.bundle)}\nallow_unsigned = true\n"  # named on the command line
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.port}\nprefix = {json.dumps(TOPICS.prefix)}\n'
            f"[[machines]]\nid = {json.dumps(MACHINE)}\nsource = {json.dumps(source)}\n"
            f'factory = "{KIND}/{SECTION:02d}"\nspeed = {self.speed}\n'
        )

    def tell(self, state: OperatingState) -> None:
        """Tell the simulated machine what to do from now on."""
        with atomic_write(self._control) as stream:
            stream.write(json.dumps(asdict(state)).encode())

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run `asd-edge run`; stop it as systemd would.

        Raises:
            DemoError: it did not stop, or not cleanly.
        """
        with self._log.open("wb") as log:
            child = subprocess.Popen(_asd_edge("run", "--config", str(self._device_file)), stdout=log, stderr=log)
        try:
            yield child
        finally:
            code = _stop(child)
        if code != 0:
            raise DemoError(
                "The daemon did not end cleanly",
                found=f"exit code {code}; its last words: {self.last_words()}",
                expected="exit code 0 after SIGTERM",
                remedy="Run the demo again; if it stays so, please report it.",
            )

    def last_words(self) -> str:
        """Return the end of the daemon's log."""
        lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
        return "\n".join(lines[-8:]) or "none"

    def start_enrolling(self, state: OperatingState) -> subprocess.Popen[str]:
        """Record three clips of the machine in `state`, on other occasions, and start `asd-edge enroll` with them."""
        clips = [str(self._clip(state, number)) for number in range(3)]
        return subprocess.Popen(
            _asd_edge(
                *("enroll", "--config", str(self._device_file), "--machine", MACHINE),
                # The machine is healthy and only runs differently, as whoever watches the demo knows.
                *("--condition", CONDITION, "--yes", "--force", "--json", *clips),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _clip(self, state: OperatingState, number: int) -> Path:
        import soundfile

        machine = SimulatedMachine(
            KIND,
            seed=1000 + number,
            state=state,
            sample_rate=self.rate,
            unit=SECTION,
        )
        path = self.folder / f"{CONDITION}-{number}.wav"
        soundfile.write(path, machine.render(round(_CLIP_S * self.rate)), self.rate, "PCM_16")
        return path

    @property
    def _control(self) -> Path:
        return self.folder / "control.json"

    @property
    def _device_file(self) -> Path:
        return self.folder / "device.toml"

    @property
    def _log(self) -> Path:
        return self.folder / "run.log"


def _stop(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    try:
        return child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _asd_edge(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "asd_edge.cli", *arguments]
