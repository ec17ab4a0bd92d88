"""The command line that does what a command asks: remote and local enrollment are one and the same."""

from __future__ import annotations

from pathlib import Path

from asd_edge.remote.command import Command, Commit, Conditions, Discard, Propose, Remove, Rollback


def arguments(command: Command, *, config: Path, author: str) -> list[str]:
    """Return what follows `asd-edge`.

    A name may begin with a dash and must not become an option itself: it is joined to its option by "=", or follows
    "--". Nobody can insist from afar (`--force`) on what the device advises against, nor take away all that the
    advice comes from (`--keep-one`).
    """
    where = [f"--config={config}", f"--machine={command.machine}", "--json"]
    changing = [*where, f"--author={author}"]
    match command:
        case Propose():
            return ["enroll", *changing, "--propose", f"--condition={command.condition}", f"--last={command.last_s}"]
        case Commit():
            return ["enroll", *changing, f"--commit={command.proposal}"]
        case Discard():
            return ["enroll", *changing, f"--discard={command.proposal}"]
        case Remove():
            return ["conditions", "remove", *changing, "--keep-one", "--", command.condition]
        case Rollback():
            return ["conditions", "rollback", *changing, "--keep-one"]
        case Conditions():
            return ["conditions", "list", *where]
