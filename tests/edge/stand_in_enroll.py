"""Stands in for `asd-edge enroll --propose` and its kin: prints what it was asked for, as JSON.

It is what the daemon runs in place of the command line, nothing of the way there. REMOVE once the real commands do.
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
