"""The present values of metrics, and what is new about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asd_edge.sinks.sparkplug.codec import DataType, Metric, Property, Value
from asd_edge.sinks.sparkplug.metrics import Definition, Quality


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a metric at a time (ms since 1970, UTC)."""

    name: str
    value: Value
    time: int
    quality: Quality = Quality.GOOD


class Values:
    """The present values of the node's or of one device's metrics: what a birth tells."""

    def __init__(self, definitions: Iterable[Definition], time: int) -> None:
        self._definitions = {definition.name: definition for definition in definitions}
        self._readings = {name: Reading(name, None, time, Quality.STALE) for name in self._definitions}

    def put(self, readings: Iterable[Reading], *, deaf: bool = False) -> tuple[Metric, ...]:
        """Take readings, if `deaf` but those that need sound; return what is new: Sparkplug reports by exception."""
        news = []
        for reading in readings:
            held = self._readings[reading.name]
            if deaf and self._definitions[reading.name].heard:
                continue
            if (reading.value, reading.quality) != (held.value, held.quality):
                self._readings[reading.name] = reading
                news.append(reading)
        return tuple(self._metric(reading) for reading in _chronological(news))

    def silence(self, time: int) -> list[Reading]:
        """Return what is left of the values that need sound, when nothing is heard any more."""
        return [Reading(d.name, None, time, Quality.BAD) for d in self._definitions.values() if d.heard]

    def birth(self) -> tuple[Metric, ...]:
        """Return every metric with its present value, unit and range."""
        return tuple(self._metric(reading, birth=True) for reading in _chronological(self._readings.values()))

    def history(self, rows: Iterable[Iterable[Reading]]) -> tuple[Metric, ...]:
        """Return what was read earlier, oldest row first, without what repeats itself; the present values stay."""
        told: dict[str, tuple[Value, Quality]] = {}
        metrics = []
        for row in rows:
            for reading in row:
                said = reading.value, reading.quality
                if told.get(reading.name) != said:
                    told[reading.name] = said
                    metrics.append(self._metric(reading, historical=True))
        return tuple(metrics)

    def _metric(self, reading: Reading, *, birth: bool = False, historical: bool = False) -> Metric:
        definition = self._definitions[reading.name]
        properties = {"Quality": Property(DataType.INT32, int(reading.quality))}
        if birth:
            properties |= _description(definition)
        return Metric(
            reading.name,
            definition.datatype,
            reading.value,
            reading.time,
            historical=historical,
            properties=properties,
        )


def _chronological(readings: Iterable[Reading]) -> list[Reading]:
    return sorted(readings, key=lambda reading: reading.time)  # tck-id-operational-behavior-data-publish-dbirth-order


def _description(definition: Definition) -> dict[str, Property]:
    limits = {"engLow": definition.low, "engHigh": definition.high}
    ranges = {key: Property(DataType.DOUBLE, limit) for key, limit in limits.items() if limit is not None}
    unit = {} if definition.unit is None else {"engUnit": Property(DataType.STRING, definition.unit)}
    return unit | ranges | {"documentation": Property(DataType.STRING, definition.meaning)}
