"""`attributes_00.csv` of 2022 and later: the attributes of a machine's clips, a row each: file_name,d1p,d1v,d2p,d2v.

`d1p` is the name of the first attribute and `d1v` its value, for example `vel,9,loc,A`.
"""

from __future__ import annotations

from pathlib import Path

from .tables import read_rows, stem_of


def read_attributes(machine: Path) -> dict[str, str]:
    """Return the attributes of a machine's clips as they stand in file names (`vel_9_loc_A`), by `stem_of` the name.

    Clips of which the tables say nothing are left out.

    Raises:
        DataError: a table cannot be read.
    """
    known = {}
    for table in sorted(machine.glob("attributes_*.csv")):
        for name, *pairs in read_rows(table)[1:]:
            attributes = "_".join(field for field in pairs if field)
            if attributes not in ("", "noAttribute"):
                known[stem_of(name)] = attributes
    return known
