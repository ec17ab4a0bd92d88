"""The machine that trains: one processor or GPU, several, or several machines (Lightning Fabric)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from asd_edge.errors import ConfigError

Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Engine:
    """Where training runs. Under torchrun its processes are found by themselves (docs/training.md).

    Attributes:
        accelerator: "auto" takes a GPU where there is one.
        devices: how many on this machine.
        nodes: machines.
        precision: numbers of the forward pass; "auto" is bfloat16 on a GPU that has it, else float32.
    """

    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = "auto"

    def start(self) -> Fabric:
        """Return the engine, ready: with several devices every process comes to this line.

        Raises:
            ConfigError: a GPU is asked for, and there is none.
        """
        gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        if self.accelerator == "cuda" and not gpu:
            raise ConfigError(
                "There is no GPU to train on",
                found="no CUDA device that torch can use",
                expected="a GPU, with a build of torch for CUDA",
                remedy="Leave --accelerator out to train on the processor, or install torch for your GPU.",
            )
        several = self.devices > 1 or self.nodes > 1
        precision = self.precision
        if precision == "auto":
            precision = "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"
        fabric = Fabric(
            accelerator="cuda" if gpu else "cpu",
            strategy="ddp" if several else "auto",
            devices=self.devices,
            num_nodes=self.nodes,
            precision=precision,
        )
        fabric.launch()
        # The same seed gives the same weights: cuDNN would otherwise choose its algorithms by a race.
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        return fabric


def is_first_process() -> bool:
    """Return whether this is the process that writes results, of all that train together."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def loggers(folder: Path | None) -> list[Logger]:
    """Return what writes metrics.csv and TensorBoard's events into a folder; nothing without one."""
    if folder is None or not is_first_process():
        return []
    where = str(folder)
    return [
        CSVLogger(where, name="", version="", flush_logs_every_n_steps=1),
        TensorBoardLogger(where, name="", version=""),
    ]
