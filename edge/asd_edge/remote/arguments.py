"""The command line that does what a command asks: remote and local enrollment are one and the same."""

from __future__ import annotations

from pathlib import Path

from asd_edge.remote.command import Command, Commit, Conditions, Discard, Propose, Remove, Rollback


def arguments(command: Command, *, config: Path, author: str) -> list[str]:
    """Return what follows `asd-edge`.

    Values are joined to their option by "=": a name may begin with a dash, and must not become an option itself.
    """
    match command:
        case Propose():
            what = ["enroll", f"--condition={command.condition}", f"--last={command.last_s}", "--propose"]
        case Commit():
            what = ["enroll", f"--commit={command.proposal}"]
        case Discard():
            what = ["enroll", f"--discard={command.proposal}"]
        case Remove():
            what = ["conditions", "remove", f"--condition={command.condition}", "--yes"]
        case Rollback():
            what = ["conditions", "rollback", "--yes"]
        case Conditions():
            return ["conditions", "list", f"--config={config}", f"--machine={command.machine}", "--json"]
    return [*what, f"--config={config}", f"--machine={command.machine}", f"--author={author}", "--json"]
