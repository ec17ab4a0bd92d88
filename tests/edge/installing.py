"""A device in a folder that bundles are installed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site_store import SiteStore
from asd_edge.config import DeviceConfig, load_config
from asd_edge.serving.install import Outcome, install
from tests.edge.device import write_device
from tests.edge.remote_operator import Operator
from tests.edge.signer import sign, trust
from tests.edge.test_site_state import CHANGE, condition
from tests.edge.tiny_bundle import make_tiny_bundle

PLANT, FACTORY = Operator("plant"), Operator("factory")
MACHINES = ({"id": "fan-1", "source": "sim:fan", "factory": "fan/00"}, {"id": "pump-1", "source": "sim:pump"})


class Box:
    """A device that trusts two keys, without a bundle yet, and bundles for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "at" / "bundle.asd"
        self.previous = self.path.with_name("bundle.previous.asd")
        self.state = folder / "state"
        self.path.parent.mkdir(parents=True)
        trust(folder / "keys", PLANT, FACTORY)
        self.device = write_device(folder, self.path, 1, *MACHINES)
        self.device.write_text(self.device.read_text().replace("allow_unsigned = true", 'trusted_keys_file = "keys"'))

    @property
    def config(self) -> DeviceConfig:
        """Its device file."""
        return load_config(self.device)

    def bundle(self, file: str, release: int, *signers: Operator, **changes: Any) -> Path:
        """Write a bundle beside the device, signed by the plant or by `signers`."""
        make_tiny_bundle(self.folder / file, release=release, **changes)
        return sign(self.folder / file, *(signers or (PLANT,)))

    def install(self, candidate: Path, **how: bool) -> Outcome:
        """Install as alice."""
        return install(candidate, self.config, author="alice", **how)

    def releases(self) -> tuple[int, int]:
        """The present release and the one before it as the files say; 0 without a file."""
        present, before = (
            load_bundle(path).manifest.release if path.exists() else 0 for path in (self.path, self.previous)
        )
        return present, before

    def enroll(self, bundle: Bundle) -> None:
        """Enroll a condition of fan-1 that belongs to a bundle."""
        store = SiteStore(self.state, "fan-1")
        with store.exclusive("alice"):
            empty = store.load().model_copy(update={"embedding_id": bundle.embedding_id})
            store.save(empty.with_condition(condition("rpm1200")), CHANGE)

    def everything(self) -> dict[str, bytes]:
        """All files of the device but the locks."""
        files = (path for folder in (self.path.parent, self.state) for path in folder.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files if path.suffix != ".lock"}
