"""The image tower as ONNX, for programs without PyTorch: with float32 weights and with int8 weights.

    full = export_tower(spec)
    small = with_int8_weights(full)
    vectors = embed(small, prepared, spec)

Reads   the model's weights
Writes  nothing: export.py does
"""
from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.embedder import input_tensor
from mtg_image_db.embedding.models import ModelSpec, load_model

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "pixels", "vectors"
OPSET = 18
MIN_QUANTISED = 1024  # numbers in a weight. Smaller ones are biases and the like, and would save almost nothing
MAX_BYTES = 2**31 - 1  # the limit of one ONNX file: protocol buffers hold no more


def export_tower(spec: ModelSpec) -> onnx.ModelProto:
    """Export the network: float32 [1, 3, size, size], normalised -> float32 [1, D], not of norm 1.

    It takes one picture at a time, as a browser needs. Raises SuiteError if PyTorch cannot write this architecture as
    ONNX, or if it does not fit into one file.
    """
    import torch

    model = load_model(spec)
    if sum(weight.nbytes for weight in model.state_dict().values()) > MAX_BYTES:
        raise _failure(spec, "its weights take more than 2 GB")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # PyTorch warns about its own code
            program = torch.onnx.export(model, (torch.zeros(1, 3, spec.size, spec.size),), dynamo=True, verbose=False,
                                        input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET)
    except torch.onnx.OnnxExporterError as error:
        raise _failure(spec, next(iter(str(error).splitlines()), "PyTorch gave no reason")) from error
    if program is None:
        raise _failure(spec, "PyTorch gave no model")
    return without_traces(program.model_proto)


def without_traces(network: onnx.ModelProto) -> onnx.ModelProto:
    """The network without what PyTorch notes beside each node: the code and the paths of the machine that wrote it."""
    for part in (network, network.graph, *network.graph.node, *network.graph.initializer, *network.graph.value_info,
                 *network.graph.input, *network.graph.output):
        del part.metadata_props[:]
    return network


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
        if values.dtype != np.float32 or values.ndim < 2 or values.size < MIN_QUANTISED:
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


def embed(model: onnx.ModelProto, pictures: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.float32]:
    """Embed pictures from embedder.prepare() with ONNX Runtime: uint8 [B, size, size, 3] -> float32 [B, D], norm 1.

    Raises SuiteError if ONNX Runtime cannot run the network.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        vectors = np.concatenate([session.run([OUTPUT], {INPUT: input_tensor(picture[None], spec).numpy()})[0]
                                  for picture in pictures])
    except Exception as error:  # ONNX Runtime raises a different exception for each error code
        raise _failure(spec, f"ONNX Runtime: {next(iter(str(error).splitlines()), '')[:200]}") from error
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _failure(spec: ModelSpec, why: str) -> SuiteError:
    return SuiteError("Build Error", "this model cannot be written as ONNX", f"{spec.model}: {why}",
                      "Leave out --with-model: the page then searches names and shows similar cards.")
