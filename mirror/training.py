"""What the trainings of both networks share: their parts, the steps of the training, and the ONNX file.

    averaged = learn(network, batches, loss_of, steps=100, warm_up=10, report="corners off by {:.1%}".format)
    data = as_onnx(averaged, 384, 384)

Reads and writes  nothing
"""
from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtg_image_db.console import say
from mtg_image_db.embedding.onnx_tower import without_traces

LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.01
AVERAGED = 0.999  # weights are averaged over about 1,000 steps
SHARPNESS = 8.0  # the confidence to learn is exp(-SHARPNESS x mean error of the corners)
REPORT_STEPS = 50

LossOf = Callable[[Tensor, Tensor], tuple[Tensor, list[float]]]


class Block(nn.Module):
    """Two convolutions, and the input added to their result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.second(self.first(maps)))


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
                         nn.ReLU(inplace=True))


def learn(network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], loss_of: LossOf, steps: int, warm_up: int,
          report: Callable[..., str]) -> nn.Module:
    """Train a network on batches of (pictures uint8 [n, 3, H, W], what it should answer). Returns one with the average
    of its weights over the last steps. loss_of gives the loss, and figures whose means report() puts into words."""
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged, figures, started, seen = copy.deepcopy(network), list[list[float]](), time.monotonic(), 0
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in range(1, steps + 1):
        rate = LEARNING_RATE * min(1, step / warm_up) * (0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures, wanted = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            output = network(pictures.float().contiguous(memory_format=torch.channels_last))
        loss, of_step = loss_of(output.float(), wanted)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()
        optimizer.zero_grad()
        _average(averaged, network, min(AVERAGED, step / (step + 49)))
        figures, seen = [*figures[1 - REPORT_STEPS:], of_step], seen + len(pictures)
        if step % REPORT_STEPS == 0 or step == steps:
            say(f"Step {step:,} of {steps:,}: {report(*np.mean(figures, axis=0))}, "
                f"{seen / (time.monotonic() - started):.0f} pictures/s.")
    return averaged


def start_worker(_number: int) -> None:
    """Leave the other cores to the training, in a process that draws."""
    import cv2

    cv2.setNumThreads(1)


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, share: float) -> None:
    """Move the averaged weights towards the network's. share is what they keep."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.mul_(share).add_(value, alpha=1 - share)
        else:
            mean.copy_(value)


def as_onnx(network: nn.Module, high: int, wide: int, many: bool = False) -> bytes:
    """An ONNX file that OpenCV reads, of a network that sees RGB pictures of this size: one at a time, or many."""
    network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    count = torch.export.Dim("pictures") if many else torch.export.Dim.STATIC
    program = torch.onnx.export(network, (torch.zeros(1, 3, high, wide),), dynamo=True, verbose=False,
                                input_names=["pixels"], output_names=["answers"], dynamic_shapes=({0: count},))
    assert program is not None
    return bytes(without_traces(program.model_proto).SerializeToString())
