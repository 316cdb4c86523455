"""A network with int8 weights in the place of float32: a quarter of the bytes for a page to fetch.

    small = with_int8_weights(onnx.load("index_out/model.onnx"))

Reads and writes  nothing
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

MIN_QUANTISED = 1024  # numbers in a weight. Smaller ones are biases and the like, and would save almost nothing


def int8_file(network: bytes) -> bytes | None:
    """The bytes of an ONNX file with int8 weights. None without the package onnx: only a large model needs them."""
    try:
        import onnx
    except ImportError:
        return None
    return with_int8_weights(onnx.load_from_string(network)).SerializeToString()


def with_int8_weights(full: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with int8 weights: a quarter of the bytes to fetch. Each weight has a scale for every entry of
    its first axis. The network calculates in float32, so only the rounded weights change its vectors."""
    import onnx
    from onnx import helper, numpy_helper

    small = onnx.ModelProto()
    small.CopyFrom(full)
    graph, kept, rounded = small.graph, [], []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < MIN_QUANTISED \
                or not np.isfinite(values).all():  # the mask of a text side has -inf
            kept.append(weight)
            continue
        scale = np.abs(values).reshape(len(values), -1).max(axis=1) / 127
        scale[scale == 0] = 1
        int8 = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        names = [f"{weight.name}.{part}" for part in ("int8", "scale")]
        kept += [numpy_helper.from_array(int8, names[0]), numpy_helper.from_array(scale, names[1])]
        rounded.append(helper.make_node("DequantizeLinear", names, [weight.name], axis=0))
    nodes = [*rounded, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return small
