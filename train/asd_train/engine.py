"""The machine that trains: one processor or GPU, several, or several machines (Lightning Fabric)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


@dataclass(frozen=True)
class Engine:
    """Where training runs. Under torchrun its processes are found by themselves (docs/training.md).

    Attributes:
        accelerator: "auto" takes a GPU where there is one.
        devices: how many on this machine; 1 unless torchrun or the user says otherwise.
        nodes: machines.
        precision: numbers of the forward pass; "auto" is bfloat16 on a GPU that has it, else float32.
        logs: folder for metrics.csv and TensorBoard's events; None writes none.
    """

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision | Literal["auto"] = "auto"
    logs: Path | None = None

    def start(self) -> Fabric:
        """Return the engine, ready: with several devices every process comes to this line."""
        gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        several = self.devices > 1 or self.nodes > 1
        fabric = Fabric(
            accelerator="cuda" if gpu else "cpu",
            strategy="ddp" if several else "auto",
            devices=self.devices,
            num_nodes=self.nodes,
            precision=self._precision(gpu),
            loggers=self._loggers(),
        )
        fabric.launch()
        return fabric

    def _precision(self, gpu: bool) -> Precision:
        if self.precision != "auto":
            return self.precision
        return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"

    def _loggers(self) -> list[Logger]:
        if self.logs is None:
            return []
        folder = str(self.logs)
        return [CSVLogger(folder, name="", version=""), TensorBoardLogger(folder, name="", version="")]
