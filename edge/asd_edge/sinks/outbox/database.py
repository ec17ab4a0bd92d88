"""What is done with the events in the file of an outbox."""

from __future__ import annotations

from asd_edge.sinks.outbox.faults import classified
from asd_edge.sinks.outbox.rows import Entry, Lane, Row, row_of
from asd_edge.sinks.outbox.sqlite_file import SqliteFile

_MOST_ID = 1 << 62
# An alarm that is not its machine's latest is history: sent again on its own topic, it would stand there.
_LANE_NOW = """lane = CASE WHEN kind = 'alarm' AND id < (SELECT id FROM latest WHERE latest.machine = event.machine)
THEN 0 ELSE lane END"""


class Database(SqliteFile):
    """The events of one outbox."""

    # --- inside a transaction ---

    def insert(self, entry: Entry, *, number: int | None = None) -> int:
        """Append an event; return its id, which is the next one unless `number` says otherwise."""
        cursor = self._connection.execute(
            "INSERT INTO event (id, lane, machine, kind, time, body) VALUES (?, ?, ?, ?, ?, ?)",
            (number, int(entry.lane), entry.machine, entry.kind, entry.time, entry.body),
        )
        assert cursor.lastrowid is not None
        if entry.kind == "alarm":
            self._remember(Row(cursor.lastrowid, entry))
        return cursor.lastrowid

    def settle(self, ids: list[int], settlement: int) -> dict[Lane, int]:
        """Mark waiting events as confirmed; return how many there were of each lane."""
        return self._change("UPDATE event SET state = ? WHERE id = ? AND state = 0 RETURNING lane", settlement, ids)

    def park(self, ids: list[int]) -> dict[Lane, int]:
        """Set waiting events aside; return how many there were of each lane."""
        return self._change("UPDATE event SET state = ? WHERE id = ? AND state = 0 RETURNING lane", -1, ids)

    def unpark(self, lane: Lane, *, after: int, up_to: int, most: int) -> int | None:
        """Let the oldest parked events of a lane wait again; return the last one's id, None when there are none."""
        found = "SELECT id FROM event WHERE lane = ? AND state = -1 AND id > ? AND id <= ? ORDER BY id LIMIT ?"
        last: int | None = self._value(f"SELECT max(id) FROM ({found})", int(lane), after, up_to, most)
        if last is not None:
            self._connection.execute(
                f"UPDATE event SET state = 0, {_LANE_NOW} WHERE lane = ? AND state = -1 AND id > ? AND id <= ?",
                (int(lane), after, last),
            )
        return last

    def unsettle(self, most: int) -> int:
        """Let the oldest confirmed events wait again; return how many."""
        return self._connection.execute(
            f"UPDATE event SET state = 0, {_LANE_NOW} "
            "WHERE id IN (SELECT id FROM event WHERE state > 0 ORDER BY state LIMIT ?)",
            (most,),
        ).rowcount

    def forget_settled(self, up_to: int) -> None:
        """Delete what was confirmed in a settlement up to this one."""
        self._connection.execute("DELETE FROM event WHERE state > 0 AND state <= ?", (up_to,))

    def drop_until(self, last_id: int, most: int) -> int:
        """Delete the oldest events up to an id that nobody has confirmed, and count them; return how many."""
        dropped = 0
        for lane in Lane:
            for state in (-1, 0):  # each in its own index
                deleted = self._delete(lane, state, last_id, most)
                self.count_dropped(lane, deleted)
                dropped += deleted
        return dropped

    def drop_oldest(self, most: int, *, up_to: Lane = Lane.ALARM) -> int:
        """Delete the oldest events, confirmed ones first, then scores, alarms last; return how many.

        Those that nobody has confirmed are counted. `up_to`: what may be deleted at all.
        """
        dropped = self._connection.execute(
            "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE state > 0 ORDER BY state LIMIT ?)", (most,)
        ).rowcount
        for lane in (lane for lane in Lane if lane <= up_to):
            for state in (-1, 0):
                if dropped == 0:
                    dropped = self._delete(lane, state, _MOST_ID, most)
                    self.count_dropped(lane, dropped)
        return dropped

    def _delete(self, lane: Lane, state: int, last_id: int, most: int) -> int:
        return self._connection.execute(
            "DELETE FROM event WHERE id IN "
            f"(SELECT id FROM event WHERE lane = ? AND state = {state:d} AND id <= ? ORDER BY id LIMIT ?)",
            (int(lane), last_id, most),
        ).rowcount

    def count_dropped(self, lane: Lane, events: int) -> None:
        """Remember that so many more were given up."""
        if events:
            self._connection.execute("UPDATE dropped SET events = events + ? WHERE lane = ?", (events, int(lane)))

    def mark_hour(self, keep: int) -> int | None:
        """Note that an hour has passed; return the last id of the hour `keep` hours ago, None if there is none."""
        self._connection.execute("INSERT INTO hour (last_id) SELECT coalesce(max(id), 0) FROM event")
        newest = self._value("SELECT max(number) FROM hour")
        last_id: int | None = self._value("SELECT max(last_id) FROM hour WHERE number <= ?", newest - keep)
        self._connection.execute("DELETE FROM hour WHERE number <= ?", (newest - keep,))
        return last_id

    def take_over(self, dropped: dict[Lane, int], hours: list[tuple[int, int]], latest: list[Row]) -> None:
        """Go on with the figures of another file."""
        for lane, events in dropped.items():
            self.count_dropped(lane, events)
        self._connection.executemany("INSERT OR REPLACE INTO hour VALUES (?, ?)", hours)
        for row in latest:
            self._remember(row)

    def _remember(self, alarm: Row) -> None:
        self._connection.execute(
            "INSERT INTO latest (machine, id, time, body) VALUES (?, ?, ?, ?) ON CONFLICT (machine) DO UPDATE "
            "SET id = excluded.id, time = excluded.time, body = excluded.body WHERE excluded.id > id",
            (alarm.entry.machine, alarm.id, alarm.entry.time, alarm.entry.body),
        )

    # --- at any time ---

    def waiting(self, lane: Lane, *, after: int, limit: int, up_to: int | None) -> list[Row]:
        """Return the oldest waiting events of a lane with ids above `after` and, if given, at most `up_to`."""
        last = _MOST_ID if up_to is None else up_to
        with classified():
            found = self._connection.execute(
                "SELECT id, lane, machine, kind, time, body FROM event "
                "WHERE lane = ? AND state = 0 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                (int(lane), after, last, limit),
            )
            return [row_of(*values) for values in found]

    def forgotten_alarms(self) -> list[Row]:
        """Return the latest alarm of each machine whose row is not here any more."""
        with classified():
            found = self._connection.execute(
                "SELECT id, 1, machine, 'alarm', time, body FROM latest "
                "WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.id = latest.id) ORDER BY id"
            )
            return [row_of(*values) for values in found]

    def count(self, state: int, lane: Lane) -> int:
        """Return how many events of a lane wait (0) or are parked (-1)."""
        with classified():
            return int(self._value(f"SELECT count(*) FROM event WHERE lane = ? AND state = {state:d}", int(lane)))

    def oldest_time(self) -> float | None:
        """Return the time of the oldest waiting event."""
        with classified():
            oldest = [
                row
                for lane in Lane
                for row in self._connection.execute(
                    "SELECT id, time FROM event WHERE lane = ? AND state = 0 ORDER BY id LIMIT 1", (int(lane),)
                )
            ]
        return min(oldest)[1] if oldest else None

    def dropped(self) -> dict[Lane, int]:
        """Return how many events of each lane were given up, ever."""
        with classified():
            return {Lane(lane): events for lane, events in self._connection.execute("SELECT lane, events FROM dropped")}

    def last_settlement(self) -> int:
        """Return the number of the last settlement that left something."""
        with classified():
            return int(self._value("SELECT coalesce(max(state), 0) FROM event WHERE state > 0"))

    def last_id(self) -> int:
        """Return the last id that was used."""
        with classified():
            return int(self._value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence"))

    def _change(self, statement: str, state: int, ids: list[int]) -> dict[Lane, int]:
        changed = dict.fromkeys(Lane, 0)
        for number in ids:
            for (lane,) in self._connection.execute(statement, (state, number)):
                changed[Lane(lane)] += 1
        return changed
