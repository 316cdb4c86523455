"""The image tower as ONNX, for queries and pages without PyTorch.

    network = export_tower(spec)
    vectors = OnnxEmbedder(spec, network.SerializeToString()).embed(pictures)

Reads   the model's weights
Writes  nothing: index/model_file.py does
"""
from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.models import ModelSpec, load_model
from mtg_image_db.embedding.onnx_embedder import INPUT, OUTPUT

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 18
MAX_BYTES = 2**31 - 1  # the limit of one ONNX file: protocol buffers hold no more


def export_tower(spec: ModelSpec) -> onnx.ModelProto:
    """Export the network: float32 [B, 3, size, size], normalised -> float32 [B, D], not of norm 1. B may be any number,
    or it is 1 for an architecture of which PyTorch cannot write more.

    Raises SuiteError if PyTorch cannot write this architecture as ONNX, or if it does not fit into one file.
    """
    import torch

    model = load_model(spec)
    if is_too_large(model):
        raise _failure(spec, "its weights take more than 2 GB")
    try:
        network = _exported(model, spec.size, 2, ({0: torch.export.Dim.AUTO},))
        if network.graph.input[0].type.tensor_type.shape.dim[0].dim_value:  # the model works with this number only
            network = _exported(model, spec.size, 1, None)
    except torch.onnx.OnnxExporterError as error:
        raise _failure(spec, next(iter(str(error).splitlines()), "PyTorch gave no reason")) from error
    return network


def _exported(model: torch.nn.Module, size: int, pictures: int, dynamic: Any) -> onnx.ModelProto:
    import torch

    return exported_program(model, torch.zeros(pictures, 3, size, size), INPUT, dynamic)


def is_too_large(model: torch.nn.Module) -> bool:
    """True if the weights do not fit into one ONNX file."""
    return sum(weight.nbytes for weight in model.state_dict().values()) > MAX_BYTES


def exported_program(model: torch.nn.Module, example: torch.Tensor, input_name: str, dynamic: Any) -> onnx.ModelProto:
    """Export a module with one input and the output OUTPUT. dynamic is PyTorch's dynamic_shapes. Raises
    torch.onnx.OnnxExporterError."""
    import torch

    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # PyTorch warns about its own code
        program = torch.onnx.export(model, (example,), dynamo=True, verbose=False, input_names=[input_name],
                                    output_names=[OUTPUT], opset_version=OPSET, dynamic_shapes=dynamic)
    if program is None:
        raise torch.onnx.OnnxExporterError("PyTorch gave no model")
    return without_traces(program.model_proto)


def without_traces(network: onnx.ModelProto) -> onnx.ModelProto:
    """The network without what PyTorch notes beside each node: the code and the paths of the machine that wrote it."""
    for part in (network, network.graph, *network.graph.node, *network.graph.initializer, *network.graph.value_info,
                 *network.graph.input, *network.graph.output):
        del part.metadata_props[:]
    return network


def _failure(spec: ModelSpec, why: str) -> SuiteError:
    return SuiteError("Build Error", "this model cannot be written as ONNX", f"{spec.model}: {why}",
                      "Queries of this index need PyTorch, and the page searches names and shows similar cards.")
