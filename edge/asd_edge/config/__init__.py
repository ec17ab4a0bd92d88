"""The device file: where sound comes from and where events go (docs/configuration.md).

What is computed is the bundle's business; there is no feature constant here.
"""

from asd_edge.config.device_file import DeviceConfig, load_config
from asd_edge.config.mqtt import MqttTable, TlsTable
from asd_edge.config.tables import BundleTable, DecisionTable, DeviceTable, EngineTable, MachineTable, RemoteTable

__all__ = [
    "BundleTable",
    "DecisionTable",
    "DeviceConfig",
    "DeviceTable",
    "EngineTable",
    "MachineTable",
    "MqttTable",
    "RemoteTable",
    "TlsTable",
    "load_config",
]
