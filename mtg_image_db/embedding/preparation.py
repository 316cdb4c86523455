"""RGB pictures -> what the model sees: the card or its art, resized, cut to a square, and normalised.

    pixels = prepare(open_pixels(path), spec, resize_with_pillow)

The fit decides which part of a picture the model sees. `crop` is open_clip's preprocessing: the shorter side becomes
the model's size (bicubic), and the centre square is kept. `pad` adds black bars around the complete card. `squash`
ignores the card's shape.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, USUAL, Window, cut
from mtg_image_db.common import InvalidContent
from mtg_image_db.embedding.models import ModelSpec

if TYPE_CHECKING:
    import torch

FITS = ("crop", "pad", "squash")
MIN_SIZE = 64  # pixels, of the model's input
MAX_RATIO = 100  # of the longer side to the shorter. Cropping resizes first: 10 x 1,000,000 would need 15 GB

Picture = NDArray[np.uint8]  # [H, W, 3], RGB
Resize = Callable[[Picture, int, int], Picture]  # (picture, height, width), bicubic with antialiasing


def resize_with_torch(picture: Picture, height: int, width: int) -> Picture:
    """Resize, bicubic with antialiasing. It takes a fifth of the time of Pillow's, 0.6 ms against 3.0 ms for 488 x
    680. Some 0.2% of the values differ from Pillow's, by 1 of 255."""
    import torch

    tensor = torch.from_numpy(np.require(picture, np.uint8, ["C", "W"])).permute(2, 0, 1)[None]
    tensor = torch.nn.functional.interpolate(tensor, (height, width), mode="bicubic", antialias=True)
    return tensor[0].permute(1, 2, 0).numpy()


def resize_with_pillow(picture: Picture, height: int, width: int) -> Picture:
    """Resize, bicubic with antialiasing, as open_clip does. It needs no PyTorch."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC), np.uint8)


def prepare(picture: Picture, spec: ModelSpec, resize: Resize, window: Window | None = None) -> Picture:
    """Turn an RGB picture (uint8 [H, W, 3]) into the model's input picture (uint8 [size, size, 3]). A model of the art
    sees the window of it alone (None: where the art of most cards lies).

    Raises InvalidContent if one side is more than MAX_RATIO times the other.
    """
    if spec.region == ART:
        picture = cut(picture, window or USUAL)
    size, (height, width) = spec.size, picture.shape[:2]
    if max(width, height) > MAX_RATIO * min(width, height):
        raise InvalidContent(f"no card's shape: {width} x {height}")
    if spec.fit == "squash":
        width = height = size
    else:
        side = min(width, height) if spec.fit == "crop" else max(width, height)
        width, height = max(1, int(size * width / side)), max(1, int(size * height / side))
    pixels = resize(picture, height, width)
    left, top = round((width - size) / 2), round((height - size) / 2)
    prepared = np.zeros((size, size, 3), np.uint8)  # black outside the picture
    prepared[max(-top, 0):max(-top, 0) + height, max(-left, 0):max(-left, 0) + width] = \
        pixels[max(top, 0):max(top, 0) + size, max(left, 0):max(left, 0) + size]
    return prepared


def input_tensor(pictures: Picture, spec: ModelSpec, device: str = "cpu") -> torch.Tensor:
    """Turn uint8 [B, size, size, 3] into normalised float32 [B, 3, size, size] on the device."""
    import torch

    pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (spec.mean, spec.std))
    return pixels.sub(mean).div(std)


def input_array(pictures: Picture, spec: ModelSpec) -> NDArray[np.float32]:
    """input_tensor without PyTorch: float32 [B, 3, size, size]."""
    mean, std = (np.array(value, np.float32).reshape(1, 3, 1, 1) for value in (spec.mean, spec.std))
    pixels = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
    return (pixels - mean) / std


def unit_vectors(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each row, float32 [B, D], to norm 1. A row that is zero or not finite becomes NaN."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = features / norms
    vectors[~np.isfinite(vectors).all(axis=1)] = np.nan
    return vectors
