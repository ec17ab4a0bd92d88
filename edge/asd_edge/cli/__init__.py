"""The asd-edge command. It only translates: each command's work is done in the room it belongs to."""


def main() -> None:
    """Run the asd-edge command."""
    from asd_edge.cli.app import app
    from asd_edge.terminal import run_command

    run_command(app)
