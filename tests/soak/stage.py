"""What a scenario begins with: a folder, a broker that lasts, and somebody who writes down everything that it says."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.soak.broker import LastingBroker
from tests.soak.subscriber import Subscriber


def stage(stack: ExitStack) -> tuple[Path, LastingBroker, Subscriber]:
    """Return these three; `stack` takes them down."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    broker = LastingBroker(folder)
    broker.start()
    stack.callback(broker.stop)
    subscriber = Subscriber(broker.port)
    stack.callback(subscriber.close)
    return folder, broker, subscriber
