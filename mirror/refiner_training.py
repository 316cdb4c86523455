"""The network that moves a card's rough corners to the right places, and its training on drawn scenes.

    network = train(load_cards(paths), steps=5500, seed=1)
    data = as_onnx(network, HIGH, WIDE, many=True)

It learns from the scenes that the corner finder learns from. Each of their cards is cut out at corners that are a
little wrong. mtg_image_db/recognition/corner_refiner.py runs the network.
Reads and writes  nothing
"""
from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirror.corner_training import Block, average, convolution
from mirror.training_scenes import Drawn, draw
from mtg_image_db.console import say
from mtg_image_db.recognition.corner_refiner import HIGH, WIDE, rough_picture
from mtg_image_db.recognition.finder import CARD_RATIO, Pyramid, rectangle
from mtg_image_db.recognition.fitting import in_photo

BATCH, LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 128, 3e-3, 300, 0.01
POOL = 3000  # samples that wait for their turn: those of a scene are not learned one after the other
EACH = 4  # samples of a card: drawing a scene takes longer than cutting them out
ELSEWHERE = 4  # samples of a scene that are cut out anywhere
MIN_VISIBLE = 0.08  # share of a card that must be seen
MIN_SIDE = 36  # pixels: square root of the area of the smallest card that is learned
NEAR = 0.35  # farther corners, as a share of the card's size, belong to no sample
STRENGTHS = 0.25, 1.0, 1.5  # of the errors: small ones too, so that a second round does no harm
QUARTERS = 0, 2, 1, 3  # by how many corners a sample is turned
QUARTER_SHARES = 0.42, 0.42, 0.08, 0.08
SHARPNESS = 8.0  # the confidence to learn is exp(-SHARPNESS x mean error of the corners / size of the card)
CORNER_WEIGHT, TURN_WEIGHT = 10.0, 0.3  # weights of the losses. The confidence's has 1
AVERAGED = 0.999  # weights are averaged over about 1,000 steps
REPORT_STEPS = 100
WIDTHS, HIDDEN = (16, 24, 48, 72), 96  # channels at stride 2, 4, 8 and 16, and numbers before the answer


class Refiner(nn.Module):
    """uint8 values [n, 3, HIGH, WIDE] -> float32 [n, 13]: eight moves of the corners, the logit of the confidence, and
    four logits that tell which corner is the card's top left."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.maps = nn.Sequential(convolution(3, a, 2), convolution(a, b, 2), Block(b), convolution(b, c, 2), Block(c),
                                  Block(c), convolution(c, d, 2), Block(d), Block(d), nn.Conv2d(d, 16, 1), nn.ReLU())
        self.answer = nn.Sequential(nn.Flatten(), nn.Linear(16 * (HIGH // 16) * (WIDE // 16), HIDDEN), nn.ReLU(),
                                    nn.Linear(HIDDEN, 13))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.answer(self.maps(pixels / 128 - 1))


def disturbed(quad: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Corners that are a little wrong, as the finder's are: moved, turned, resized, each in another direction."""
    strength = random.choice(STRENGTHS)
    unit, ratio = rectangle(1, 1) - 0.5, 1 / CARD_RATIO
    turn = math.radians(random.normal(0, 5 * strength))
    spun = np.stack([unit[:, 0] * math.cos(turn) - unit[:, 1] * ratio * math.sin(turn),
                     unit[:, 0] * math.sin(turn) / ratio + unit[:, 1] * math.cos(turn)], axis=1)
    places = spun * np.exp(random.normal(0, 0.08 * strength, 2)) + random.normal(0, 0.07 * strength, 2)
    places += random.normal(0, 0.04 * strength, (4, 2))
    return in_photo(np.float32(places + 0.5), quad)


def on_card(points: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """Where points of the picture are, as shares of the width and height of the quad."""
    import cv2

    view = cv2.getPerspectiveTransform(np.float32(quad), rectangle(1, 1))
    return np.asarray(cv2.perspectiveTransform(np.float32(points)[None], view)[0], np.float32)


def goal_of(quad: np.ndarray, cards: list[np.ndarray]) -> np.ndarray:
    """What the network should answer for corners: float32 [10], the moves, the card's number of turns, and 1 if there
    is a card."""
    import cv2

    goal, nearest = np.zeros(10, np.float32), NEAR
    for card in cards:
        size = math.sqrt(max(1.0, cv2.contourArea(card)))
        if np.abs(card.mean(axis=0) - quad.mean(axis=0)).max() > NEAR * size:
            continue  # its corners are farther still
        for turn in range(4):
            turned = np.roll(card, turn, axis=0)
            away = float(np.hypot(*(turned - quad).T).mean()) / size
            if away < nearest:
                nearest = away
                goal[:8] = (on_card(turned, quad) - rectangle(1, 1)).ravel()
                goal[8:] = turn, 1
    return goal


def samples(scene: Drawn, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(uint8 [3, HIGH, WIDE], goal_of it) for each card of a scene, and for some places without one."""
    import cv2

    photo, side = Pyramid(scene.picture), scene.picture.shape[0]
    cards = []
    for number, quad in enumerate(scene.quads):
        area = cv2.contourArea(quad)
        if area >= MIN_SIDE ** 2 and (scene.visible == number).sum() >= MIN_VISIBLE * area:
            cards.append(quad)
    rough = [disturbed(quad, random) for quad in cards for _ in range(EACH)]
    for _ in range(ELSEWHERE):
        if cards and random.random() < 0.6:
            quad = cards[int(random.integers(len(cards)))]
            rough.append(in_photo(rectangle(1, 1) * np.float32(random.uniform(0.5, 1.5, 2))
                               + np.float32(random.uniform(-0.8, 0.8, 2)), quad))
        else:
            box = (random.uniform(0, side, 2).tolist(), random.uniform(40, 200, 2).tolist(), random.uniform(0, 90))
            rough.append(np.float32(cv2.boxPoints(box)))
    for quad in rough:
        quad = np.roll(quad, random.choice(QUARTERS, p=QUARTER_SHARES), axis=0)
        if cv2.contourArea(quad, oriented=True) < 400 or not cv2.isContourConvex(quad):
            continue
        goal = goal_of(quad, cards)
        if np.abs(goal[:8]).max() < 1:
            yield rough_picture(photo, quad).transpose(2, 0, 1), goal


class Samples(torch.utils.data.IterableDataset):
    """Samples without end."""

    def __init__(self, cards: list[np.ndarray], seed: int) -> None:
        self.cards, self.seed = cards, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        import cv2

        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng([self.seed, worker.id if worker else 0])
        pool = list[tuple[np.ndarray, np.ndarray]]()
        while True:
            pool.extend(samples(draw(random, self.cards), random))
            while len(pool) > POOL:
                yield pool.pop(int(random.integers(len(pool))))


def loss_of(output: Tensor, goal: Tensor) -> tuple[Tensor, float, float]:
    """(the loss, the mean error of the corners as a share of the card's size, the share of wrong turns)."""
    here = goal[:, 9] > 0
    apart = output[:, :8] - goal[:, :8]
    error = apart.detach().reshape(-1, 4, 2).norm(dim=2).mean(dim=1)
    sure = torch.where(here, torch.exp(-SHARPNESS * error), torch.zeros_like(error))
    corner_loss = F.smooth_l1_loss(apart[here], torch.zeros_like(apart[here]), beta=0.04)
    turn = goal[here, 8].long()
    loss = CORNER_WEIGHT * corner_loss + TURN_WEIGHT * F.cross_entropy(output[here, 9:], turn) \
        + F.binary_cross_entropy_with_logits(output[:, 8], sure)
    wrong = (output[here, 9:].argmax(dim=1) != turn).float().mean()
    return loss, float(error[here].median()), float(wrong)


def train(cards: list[np.ndarray], steps: int, seed: int) -> Refiner:
    """Train a network. Returns the average of its weights over the last steps."""
    torch.manual_seed(seed)
    network = Refiner().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged, figures, started = copy.deepcopy(network), list[tuple[float, float]](), time.monotonic()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = iter(torch.utils.data.DataLoader(Samples(cards, seed), BATCH, num_workers=2, prefetch_factor=8))
    for step in range(steps):
        rate = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures, goal = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            output = network(pictures.float().contiguous(memory_format=torch.channels_last))
        loss, error, wrong = loss_of(output.float(), goal)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()
        optimizer.zero_grad()
        average(averaged, network, min(AVERAGED, (step + 1) / (step + 50)))
        figures.append((error, wrong))
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == steps:
            error, wrong = np.mean(figures[-REPORT_STEPS:], axis=0)
            say(f"Step {step + 1:,} of {steps:,}: corners off by {error:.1%} of a card, {wrong:.1%} turned wrongly, "
                f"{(step + 1) * BATCH / (time.monotonic() - started):.0f} samples/s.")
    return averaged
