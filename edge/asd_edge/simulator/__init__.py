"""Simulated machines: physically argued sound with graded faults, in pure NumPy."""

from asd_edge.simulator.machine import FAULTS, MACHINES, SimulatedMachine
from asd_edge.simulator.state import OperatingState

__all__ = ["FAULTS", "MACHINES", "OperatingState", "SimulatedMachine"]
