"""The network that finds the corners of cards, and its training on drawn scenes.

    network = train(load_cards(paths), steps=3600, seed=1)

mtg_image_db/recognition/corner_net.py runs what this writes.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirror.training import SHARPNESS, Block, convolution, learn, start_worker
from mirror.training_scenes import Drawn, draw
from mtg_image_db.recognition.corner_net import SIDE, STRIDE, TURNS, UNIT

BATCH, WARM_UP = 32, 200
POOL = 192  # scenes that wait for their turn: the two turns of a scene are not learned one after the other
NEAR_TURN = math.radians(32)  # a card belongs to the turns that are less than this away from its own
CORNER_WEIGHT = 5.0  # weight of the corners' loss. The confidence's has 1
EASY_SCENES = 4000  # drawn first. Without them, the first 700 steps learn nothing
CELLS = SIDE // STRIDE
WIDTHS, HEAD = (16, 24, 48, 80, 96), 64  # channels at stride 2, 4, 8, 16 and 32, and of the head: 0.9 million weights


class CornerNet(nn.Module):
    """uint8 values [n, 3, SIDE, SIDE] -> for each cell and turn a confidence and eight coordinates."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d, e = WIDTHS
        self.to_8 = nn.Sequential(convolution(3, a, 2), convolution(a, b, 2), Block(b), convolution(b, c, 2), Block(c),
                                  Block(c))
        self.to_16 = nn.Sequential(convolution(c, d, 2), Block(d), Block(d))
        self.to_32 = nn.Sequential(convolution(d, e, 2), Block(e), Block(e))
        self.from_32, self.from_16, self.from_8 = (nn.Conv2d(channels, HEAD, 1) for channels in (e, d, c))
        self.mix_16, self.mix_8 = convolution(HEAD, HEAD), nn.Sequential(convolution(HEAD, HEAD),
                                                                         convolution(HEAD, HEAD))
        self.answer = nn.Conv2d(HEAD, 9 * TURNS, 1)
        assert self.answer.bias is not None
        nn.init.zeros_(self.answer.bias)
        with torch.no_grad():
            self.answer.bias[:TURNS] = -4  # no confidence at first

    def forward(self, pixels: Tensor) -> Tensor:
        at_8 = self.to_8(pixels / 128 - 1)
        at_16 = self.to_16(at_8)
        at_32 = self.to_32(at_16)
        mixed = self.mix_16(self.from_16(at_16) + F.interpolate(self.from_32(at_32), scale_factor=2.0, mode="nearest"))
        mixed = self.mix_8(self.from_8(at_8) + F.interpolate(mixed, scale_factor=2.0, mode="nearest"))
        return self.answer(mixed)


def targets(scene: Drawn) -> np.ndarray:
    """What the network should answer: float32 [n, 13] with a row for each cell and turn that shows a card. It holds
    row, column, turn, eight coordinates, the card's size and the row's weight."""
    import cv2

    found, cells = [np.zeros((0, 13), np.float32)], scene.visible[STRIDE // 2::STRIDE, STRIDE // 2::STRIDE]
    for card, quad in enumerate(scene.quads):
        rows, columns = np.nonzero(cells == card)
        if not len(rows):
            continue
        up = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
        angle, size = math.atan2(up[1], up[0]), math.sqrt(max(1.0, cv2.contourArea(quad)))
        centres = np.stack([columns, rows], axis=1)[:, None] * STRIDE + STRIDE / 2
        for turn in range(TURNS):
            away = math.remainder(angle - turn * math.pi / TURNS, 2 * math.pi)
            if abs(math.remainder(away, math.pi)) > NEAR_TURN:
                continue
            corners = np.roll(quad, 2, axis=0) if abs(away) > math.pi / 2 else quad
            values = np.empty((len(rows), 13), np.float32)
            values[:, 0], values[:, 1], values[:, 2] = rows, columns, turn
            values[:, 3:11] = (corners[None] - centres).reshape(-1, 8) / UNIT
            values[:, 11], values[:, 12] = size / UNIT, 1 / math.sqrt(len(rows))
            found.append(values)
    return np.concatenate(found)


class Scenes(torch.utils.data.IterableDataset):
    """Scenes without end, each in two of its four turns: (uint8 [3, SIDE, SIDE], targets)."""

    def __init__(self, cards: list[np.ndarray], seed: int) -> None:
        self.cards, self.seed = cards, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        random, pool, drawn = np.random.default_rng(self.seed), list[tuple[np.ndarray, np.ndarray]](), 0
        while True:
            scene = draw(random, self.cards, easy=drawn < EASY_SCENES)
            drawn += 1
            for quarters in random.choice(4, 2, replace=False).tolist():
                turned = scene
                for _ in range(quarters):
                    turned = Drawn(np.rot90(turned.picture, -1), np.stack(
                        [SIDE - turned.quads[:, :, 1], turned.quads[:, :, 0]], axis=2), np.rot90(turned.visible, -1))
                pool.append((np.ascontiguousarray(turned.picture.transpose(2, 0, 1)), targets(turned)))
            while len(pool) > POOL:
                yield pool.pop(int(random.integers(len(pool))))


def collate(scenes: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """(pictures uint8 [n, 3, SIDE, SIDE], their targets with the picture's number before them, float32 [m, 14])."""
    rows = [np.insert(wanted, 0, number, axis=1) for number, (_, wanted) in enumerate(scenes)]
    return torch.from_numpy(np.stack([picture for picture, _ in scenes])), torch.from_numpy(np.concatenate(rows))


def loss_of(output: Tensor, wanted: Tensor) -> tuple[Tensor, list[float]]:
    """(the loss, [the median error of the corners as a share of the card's size])."""
    score = output[:, :TURNS]
    corners = output[:, TURNS:].reshape(len(output), TURNS, 8, CELLS, CELLS)
    picture, row, column, turn = (wanted[:, at].long() for at in range(4))
    apart = (corners[picture, turn, :, row, column] - wanted[:, 4:12]) / wanted[:, 12:13]
    weight, error = wanted[:, 13], apart.detach().reshape(-1, 4, 2).norm(dim=2).mean(dim=1)
    corner_loss = F.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.04, reduction="none").mean(dim=1)
    goal = torch.zeros_like(score)
    goal[picture, turn, row, column] = torch.exp(-SHARPNESS * error)
    sure = F.binary_cross_entropy_with_logits(score, goal, reduction="none")
    sure = (sure * (goal - torch.sigmoid(score)).detach() ** 2).sum() / max(1, len(wanted))
    loss = CORNER_WEIGHT * (corner_loss * weight).sum() / weight.sum().clamp(min=1) + sure
    return loss, [float(error.median()) if len(error) else 0.0]


def train(cards: list[np.ndarray], steps: int, seed: int) -> nn.Module:
    """Train a network. Returns the average of its weights over the last steps."""
    torch.manual_seed(seed)
    batches = torch.utils.data.DataLoader(Scenes(cards, seed), BATCH, num_workers=1, collate_fn=collate,
                                          prefetch_factor=4, worker_init_fn=start_worker)
    return learn(CornerNet(), iter(batches), loss_of, steps, WARM_UP, "corners off by {:.1%} of a card".format)
