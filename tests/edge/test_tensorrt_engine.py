"""What an engine does when a run fails, without a GPU: stand-ins of TensorRT and of the driver take notes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asd_edge.engines.tensorrt_engine import TensorRTEngine
from asd_edge.errors import EngineError


@pytest.mark.parametrize("fails", ["upload", "execute", "download", "wait"])
def test_a_run_that_fails_waits_for_what_is_being_copied_before_its_arrays_go(fails: str) -> None:
    did: list[str] = []

    def noted(name: str) -> Any:
        def call(*_: Any) -> Any:
            did.append(name)
            if name == fails and name != "execute":
                raise EngineError("The GPU failed", found="a broken context", expected="one that works", remedy="None.")
            return False if name == fails else ()

        return call

    engine = object.__new__(TensorRTEngine)
    memory = SimpleNamespace(stream=0, bind=noted("bind"), **{n: noted(n) for n in ("upload", "download", "wait")})
    context = SimpleNamespace(
        set_input_shape=lambda *_: True,
        execute_async_v3=lambda stream: noted("execute")(stream) is not False,
        get_tensor_shape=noted("shape"),
    )
    module = SimpleNamespace(flavour="tensorrt", version="10.3", log=SimpleNamespace(errors=list))
    told = {"_memory": memory, "_context": context, "_trt": module, "_lock": threading.Lock()}
    vars(engine).update(told, _dtypes={"x": "float32", "y": "float32"}, _outputs=["y"])
    with pytest.raises(EngineError):
        engine.run({"x": np.zeros(3, np.float32)})
    assert fails in did
    assert did[-1] == "wait"
    assert did.index("wait") > did.index("upload")
    assert not engine._lock.locked()
