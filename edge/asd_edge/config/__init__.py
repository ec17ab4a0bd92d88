"""The device file: where sound comes from and where events go (docs/configuration.md).

What is computed is the bundle's business; there is no feature constant here.
"""

from asd_edge.config.device_file import DeviceConfig, load_config
from asd_edge.config.mqtt import BrokerTable, MqttTable, OutboxTable, Server, SparkplugTable, TlsTable
from asd_edge.config.tables import (
    BundleTable,
    DecisionTable,
    DeviceTable,
    EngineTable,
    EvidenceTable,
    MachineTable,
    MicrophoneTable,
    PrometheusTable,
    RemoteTable,
)

__all__ = [
    "BrokerTable",
    "BundleTable",
    "DecisionTable",
    "DeviceConfig",
    "DeviceTable",
    "EngineTable",
    "EvidenceTable",
    "MachineTable",
    "MicrophoneTable",
    "MqttTable",
    "OutboxTable",
    "PrometheusTable",
    "RemoteTable",
    "Server",
    "SparkplugTable",
    "TlsTable",
    "load_config",
]
