"""The asd-export command. It only translates: each command's work is done in the module it belongs to."""


def main() -> None:
    """Run the asd-export command."""
    from asd_edge.terminal import run_command
    from asd_export.cli.app import app

    run_command(app)
