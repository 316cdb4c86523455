"""open_clip's models: find their weights, and load their image towers.

    weights, native_size, mean, std = find_weights("ViT-B-32-quickgelu", "openai", offline_model)
    tower = load_tower("ViT-B-32-quickgelu", weights, native_size)

To import open_clip takes 3 to 5 s longer than to import PyTorch alone. 45 of its 144 architectures do not need it, the
default among them. They need only its tables and a plain vision transformer (vision_transformer.py).

Reads   weights: a file, the hub's local cache, or the hub itself
Writes  nothing
"""
from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtg_image_db.console import SuiteError, say

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL, DEFAULT_PRETRAINED = "ViT-B-32-quickgelu", "openai"
# of OpenAI's models. open_clip uses them for every model that was published without other values.
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HUB_SECONDS = 10
# The keys of a plain vision transformer's configuration. open_clip builds every model with other keys.
PLAIN_KEYS = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}
# open_clip's modules of tables are imported under this name. Under their own, Python would first import open_clip with
# its 40 modules and torchvision: 4 s more for a build that has nothing new to embed (2.2 s).
TABLES = "open_clip_tables"


def default_tag(model: str) -> str:
    """The tag of the weights to use if none is named: OpenAI's, otherwise the first that open_clip lists. Weights whose
    activation is not the architecture's (QuickGELU) are passed over."""
    published, quick_gelu = _published(), (_config(model) or {}).get("quick_gelu", False)
    tags = [tag for tag in published.list_pretrained_tags_by_model(model)
            if published.get_pretrained_cfg(model, tag).get("quick_gelu", False) == quick_gelu]
    return DEFAULT_PRETRAINED if DEFAULT_PRETRAINED in tags or not tags else tags[0]


def find_weights(model: str, pretrained: str,
                 offline_model: str) -> tuple[Path, int, tuple[float, ...], tuple[float, ...]]:
    """(weights file, native size in pixels, mean, std) of an open_clip architecture. pretrained is a tag or a file.

    Fetches the file from the hub if pretrained is a tag that is not in the hub's cache. Raises SuiteError. If there is
    no network, the error suggests offline_model.
    """
    config = _config(model)
    if config is None:
        close = difflib.get_close_matches(model, [*_architectures(), offline_model], 3)
        raise SuiteError("Configuration Error", "open_clip knows no such architecture", f"--model {model}",
                         f"Did you mean {' or '.join(close)}?" if close
                         else f"Use --model {DEFAULT_MODEL} or {offline_model}.")
    published = _published()
    tags = {tag: published.get_pretrained_cfg(model, tag) for tag in published.list_pretrained_tags_by_model(model)}
    tag = published.get_pretrained_cfg(model, pretrained)
    name = Path(pretrained).name
    quick_gelu = tag.get("quick_gelu", False) if tag else "openai" in name or "quickgelu" in name
    if quick_gelu and not config.get("quick_gelu", False) and f"{model}-quickgelu" in _architectures():
        raise SuiteError("Configuration Error", "these weights were trained with QuickGELU, this architecture has none",
                         f"--model {model} --pretrained {pretrained}: the vectors would be silently wrong",
                         f"Use --model {model}-quickgelu.")
    if tag:
        weights = _tag_weights(published, tag, model, pretrained, offline_model)
    elif (weights := Path(pretrained)).is_file():
        tag = next(iter(tags.values()), {})  # the mean and std with which this architecture was published
    else:
        raise SuiteError("Configuration Error", "--pretrained is neither a file nor a tag of this architecture",
                         f"--model {model} --pretrained {pretrained}",
                         f"Give a weights file or one of: {', '.join(tags) or 'no tags'}.")
    return weights, _native_size(config), tuple(tag.get("mean") or CLIP_MEAN), tuple(tag.get("std") or CLIP_STD)


def text_config(model: str) -> dict[str, Any]:
    """open_clip's configuration of the model's text side. Empty if it has none."""
    return (_config(model) or {}).get("text_cfg", {})


def load_tower(model: str, weights: Path, size: int) -> torch.nn.Module:
    """Load the image tower [B, 3, size, size] -> [B, D], fp32, on the CPU. If the file is damaged or belongs to another
    architecture, raises the error of torch, safetensors or open_clip."""
    config = _config(model) or {}
    vision = config["vision_cfg"]
    if vision.keys() <= PLAIN_KEYS and isinstance(vision.get("layers"), int) and size == _native_size(config) \
            and (state := _image_side(weights)):
        from mtg_image_db.embedding.vision_transformer import VisionConfig, VisionTransformer

        shape = VisionConfig(config["embed_dim"], quick_gelu=config.get("quick_gelu", False), **vision)
        tower = VisionTransformer(shape)
        positions = state.get("positional_embedding")
        if positions is None or positions.shape == tower.positional_embedding.shape:
            tower.load_state_dict(state, assign=True)
            return tower  # otherwise it was trained at another size: open_clip interpolates its positions
    return _open_clip_tower(model, weights, None if size == _native_size(config) else size)


def import_open_clip() -> Any:
    """Import open_clip, also if torchvision is a CUDA wheel and torch a CPU build.

    In that case `import torchvision` fails, because its compiled operators cannot load. open_clip never calls them, so
    it is enough to declare their schemas.
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


# Tables

def _folder() -> Path:
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise SuiteError("Configuration Error", "open_clip is not installed", "no module named open_clip",
                         "pip install -r requirements.txt")
    return Path(found.submodule_search_locations[0])


def _architectures() -> list[str]:
    return sorted(path.stem for path in (_folder() / "model_configs").glob("*.json"))


def _config(model: str) -> dict[str, Any] | None:
    """open_clip's configuration of the architecture. None if open_clip does not know the name."""
    return json.loads((_folder() / "model_configs" / f"{model}.json").read_bytes()) if model in _architectures() \
        else None


def _native_size(config: dict[str, Any]) -> int:
    size = config["vision_cfg"].get("image_size", 224)
    return size if isinstance(size, int) else max(size)


def _published() -> Any:
    """open_clip's module of published weights, imported without the open_clip package."""
    if TABLES not in sys.modules:
        package = types.ModuleType(TABLES)
        package.__path__ = [str(_folder())]
        sys.modules[TABLES] = package
    return importlib.import_module(f"{TABLES}.pretrained")


# Weights

def _tag_weights(published: Any, tag: dict[str, Any], model: str, pretrained: str, offline_model: str) -> Path:
    """The local file of a published tag. Uses the network only if the file is not in the hub's cache."""
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
            return Path(published.download_pretrained(tag))
        for name in names:
            with contextlib.suppress(EntryNotFoundError):
                # This fails at once without a network. A download would retry for a minute.
                get_hf_file_metadata(hf_hub_url(repository, name), timeout=HUB_SECONDS)
                return Path(hf_hub_download(repository, name))
        raise FileNotFoundError(names)
    except Exception as error:  # the hub client raises many kinds of errors; all mean that the file is not available
        source = f"{names[0]} of {repository}" if repository else tag.get("url", "")
        raise SuiteError("Network Error", f"the weights of {model} {pretrained} could not be fetched",
                         f"{source}: {type(error).__name__}",
                         f"Bring {names[0]} from a machine with a network and give it with --pretrained FILE, "
                         f"or use --model {offline_model}, which needs none.") from error


def _image_side(weights: Path) -> dict[str, torch.Tensor]:
    """The image tower's tensors in an open_clip state dict, float32. Empty if the file is something else."""
    import torch

    state: dict[str, Any]
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file
        state = load_file(weights)
    elif weights.suffix in (".npz", ".npy"):
        return {}
    else:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    state = dict(state.get("state_dict", state))
    names = {name: name.removeprefix("module.") for name in state}
    return {plain.removeprefix("visual."): state[name].float() for name, plain in names.items()
            if plain.startswith("visual.")}


def _open_clip_tower(model: str, weights: Path, other_size: int | None) -> torch.nn.Module:
    import torch

    open_clip = import_open_clip()

    class ImageSide(torch.nn.Module):
        """The model's image side: [B, 3, S, S] -> [B, D]."""

        def __init__(self, clip: Any) -> None:
            super().__init__()
            for text_side in ("transformer", "token_embedding", "text", "text_decoder"):
                if hasattr(clip, text_side):
                    delattr(clip, text_side)
            self.clip: Any = clip

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.clip.encode_image(pixels)

    return ImageSide(open_clip.create_model(model, pretrained=str(weights), force_image_size=other_size,
                                            weights_only=True))
