"""The asd-train command. It only translates: each command's work is done in the module it belongs to."""


def main() -> None:
    """Run the asd-train command."""
    from importlib.util import find_spec

    from asd_edge.terminal import missing_extra, run_command

    if find_spec("torch") is None:  # asked here so that a base install gets a clear answer
        missing_extra("asd-train", "train", "torch")

    from asd_train.cli.app import app

    run_command(app)
