"""The systemd service: what its files say for this installation, and the steps that install and remove it.

`systemd/` is a link to firmware_configs/systemd, so that a wheel has the very files of the repository.
"""

from asd_edge.service.plan import Place, install_plan, uninstall_plan
from asd_edge.service.steps import Remove, Run, Step, Write, perform

__all__ = ["Place", "Remove", "Run", "Step", "Write", "install_plan", "perform", "uninstall_plan"]
