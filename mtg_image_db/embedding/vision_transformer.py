"""CLIP's plain vision transformer in PyTorch alone, with open_clip's names for its weights.

    tower = VisionTransformer(VisionConfig(512, layers=12, width=768, patch_size=32, quick_gelu=True))
    tower.load_state_dict(state, assign=True)

It is built on PyTorch's meta device, which needs no memory and draws no random numbers. The weights come from a file.
Reads and writes  nothing
"""
from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class VisionConfig:
    """The shape of a transformer, with the names and defaults of open_clip's model_configs. Sizes are in pixels."""
    embed_dim: int
    layers: int
    width: int
    patch_size: int
    image_size: int = 224
    head_width: int = 64
    mlp_ratio: float = 4.0
    quick_gelu: bool = False


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of OpenAI's models."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """One layer: attention and a two-layer perceptron. Each result is added to its input."""

    def __init__(self, width: int, heads: int, hidden: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(width, hidden), gelu=activation(),
                                             c_proj=nn.Linear(hidden, width)))

    def forward(self, x: torch.Tensor, positions: int | None = None) -> torch.Tensor:
        """[B, N, width] -> [B, positions, width]: the output at the first positions (None: at all N)."""
        normed = self.ln_1(x)
        x = x[:, :positions] + self.attn(normed[:, :positions], normed, normed, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    """Pictures [B, 3, image_size, image_size] -> vectors [B, embed_dim], not of norm 1."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        activation = QuickGELU if config.quick_gelu else nn.GELU
        width, patch_size = config.width, config.patch_size
        with torch.device("meta"):
            self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
            self.class_embedding = nn.Parameter(torch.empty(width))
            self.positional_embedding = nn.Parameter(torch.empty((config.image_size // patch_size) ** 2 + 1, width))
            self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
            self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(
                Block(width, width // config.head_width, int(width * config.mlp_ratio), activation)
                for _ in range(config.layers))})
            self.proj = nn.Parameter(torch.empty(width, config.embed_dim))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(pixels.shape[0], 1, -1)  # len() would fix the number in an export
        x = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        *blocks, last = list(self.transformer["resblocks"].children())
        for block in blocks:
            x = block(x)
        # Only the first position of the last layer is used. The others would take 7% of the time of ViT-B/32.
        return self.ln_post(last(x, positions=1)[:, 0]) @ self.proj
