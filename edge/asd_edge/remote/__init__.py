"""Enrollment over MQTT: signed commands, judged without a socket and with clocks passed in (docs/security.md)."""
