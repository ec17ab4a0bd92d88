"""A command that takes long, fails, or prints what it was asked for and with which priority, on demand.

The daemon runs it in place of `asd-edge` where a test needs just that of a child process.
"""

from __future__ import annotations

import json
import os
import sys
import time

words = sys.argv[1:]
if "--condition=slow" in words:
    time.sleep(60)
if "--condition=deaf" in words:
    sys.exit("error: Nothing was heard")
print(json.dumps({"proposal": "p1", "arguments": words, "nice": os.nice(0)}))
