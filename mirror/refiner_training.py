"""The network that moves a card's rough corners to the right places, and its training on drawn scenes.

    network = train(load_cards(paths), steps=5500, seed=1)

It learns from the scenes that the corner finder learns from. Each of their cards is cut out at corners that are a
little wrong. mtg_image_db/recognition/corner_refiner.py runs the network.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirror.drawn_scenes import turned
from mirror.training import SHARPNESS, Block, convolution, learn, start_worker
from mirror.training_scenes import Drawn, draw
from mtg_image_db.recognition.corner_refiner import HIGH, WIDE, rough_picture
from mtg_image_db.recognition.finder import CARD_RATIO, Pyramid, is_clockwise, rectangle
from mtg_image_db.recognition.fitting import in_photo, on_card

BATCH, WARM_UP = 128, 300
POOL = 1000  # samples that wait for their turn: those of a scene are not learned one after the other
EACH = 4  # samples of a card: drawing a scene takes longer than cutting them out
ELSEWHERE = 4  # samples of a scene that are cut out anywhere
MIN_VISIBLE = 0.08  # share of a card that must be seen
MIN_SIDE = 36  # pixels: square root of the area of the smallest card that is learned
NEAR = 0.35  # share of the card's size: a rough place farther than this from every card shows no card
STRENGTHS = 0.25, 1.0, 1.5  # of the errors: small ones too, so that a second round does no harm
QUARTERS = 0, 2, 1, 3  # by how many corners a sample is turned
QUARTER_SHARES = 0.42, 0.42, 0.08, 0.08  # how often each
CORNER_WEIGHT, TURN_WEIGHT = 10.0, 0.3  # weights of the losses. The confidence's has 1
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
    """Corners that are a little wrong, as those of rough places are. The card is turned, resized and moved. Then each
    corner is moved by itself."""
    strength = random.choice(STRENGTHS)
    shape = np.array([CARD_RATIO, 1])
    spun = (rectangle(1, 1) - 0.5) * shape @ turned(math.radians(random.normal(0, 5 * strength))) / shape
    places = spun * np.exp(random.normal(0, 0.08 * strength, 2)) + random.normal(0, 0.07 * strength, 2)
    places += random.normal(0, 0.04 * strength, (4, 2))
    return in_photo(np.float32(places + 0.5), quad)


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
            corners = np.roll(card, turn, axis=0)
            away = float(np.hypot(*(corners - quad).T).mean()) / size
            if away < nearest:
                nearest = away
                goal[:8] = (on_card(corners, quad) - rectangle(1, 1)).ravel()
                goal[8:] = turn, 1
    return goal


def samples(scene: Drawn, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(uint8 [3, HIGH, WIDE], goal_of it): EACH of every card of a scene, and ELSEWHERE of places anywhere."""
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
        if not is_clockwise(quad):
            continue
        goal = goal_of(quad, cards)
        if np.abs(goal[:8]).max() < 1:
            yield rough_picture(photo, quad).transpose(2, 0, 1), goal


class Samples(torch.utils.data.IterableDataset):
    """Samples without end."""

    def __init__(self, cards: list[np.ndarray], seed: int) -> None:
        self.cards, self.seed = cards, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        worker = torch.utils.data.get_worker_info()
        random = np.random.default_rng([self.seed, worker.id if worker else 0])
        pool = list[tuple[np.ndarray, np.ndarray]]()
        while True:
            pool.extend(samples(draw(random, self.cards), random))
            while len(pool) > POOL:
                yield pool.pop(int(random.integers(len(pool))))


def loss_of(output: Tensor, goal: Tensor) -> tuple[Tensor, list[float]]:
    """(the loss, [the median error of the corners as a share of the rough place's width and height, the share of wrong
    turns]). goal has goal_of of each sample. At least one of them shows a card."""
    here = goal[:, 9] > 0
    apart = output[:, :8] - goal[:, :8]
    error = apart.detach().reshape(-1, 4, 2).norm(dim=2).mean(dim=1)
    sure = torch.where(here, torch.exp(-SHARPNESS * error), torch.zeros_like(error))
    corner_loss = F.smooth_l1_loss(apart[here], torch.zeros_like(apart[here]), beta=0.04)
    turn = goal[here, 8].long()
    loss = CORNER_WEIGHT * corner_loss + TURN_WEIGHT * F.cross_entropy(output[here, 9:], turn) \
        + F.binary_cross_entropy_with_logits(output[:, 8], sure)
    wrong = (output[here, 9:].argmax(dim=1) != turn).float().mean()
    return loss, [float(error[here].median()), float(wrong)]


def train(cards: list[np.ndarray], steps: int, seed: int) -> nn.Module:
    """Train a network. Returns the average of its weights over the last steps."""
    torch.manual_seed(seed)
    batches = torch.utils.data.DataLoader(Samples(cards, seed), BATCH, num_workers=2, prefetch_factor=8,
                                          worker_init_fn=start_worker)
    return learn(Refiner(), iter(batches), loss_of, steps, WARM_UP,
                 "corners off by {:.1%} of a card, {:.1%} turned wrongly".format)
