"""A network as ONNX, opened for the CPU.

    session = open_session(Path("model.onnx"))
    vectors, = session.run(["vectors"], {"pixels": pixels})

Reads   the network
Writes  nothing
"""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def session_threads() -> int:
    """The threads of a session: as many as PyTorch would use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # "4,2" is for nested threads
    return max(1, int(asked) if asked.isdecimal() else os.cpu_count() or 1)


def open_session(network: Path | bytes) -> Any:
    """Open a network: a file, or its bytes. Several threads may use the session. Raises what ONNX Runtime raises: a
    different exception for each error code."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = session_threads()
    # Idle threads would wait in a loop, and take the processor from the finder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(network if isinstance(network, bytes) else str(network), options,
                                        providers=["CPUExecutionProvider"])
