"""Pictures -> unit vectors on PyTorch, at the precision that suits the machine.

    spec = models.describe_model("ViT-B-32-quickgelu", "openai", fit="crop")
    vectors = Embedder(spec).embed_photos([open_pixels(path)])

Reads   the model's weights
Writes  nothing
"""
from __future__ import annotations

import copy
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import Window
from mtg_image_db.console import SuiteError, say
from mtg_image_db.embedding.models import ModelSpec, load_model
from mtg_image_db.embedding.preparation import input_tensor, prepare, resize_with_torch, unit_vectors
from mtg_image_db.memory import keep_freed_memory

if TYPE_CHECKING:
    import torch

DEVICES, PRECISIONS = ("auto", "cpu", "cuda", "mps"), ("auto", "fp32", "bf16", "fp16")
AGREEMENT, AGREEMENT_PICTURES = 0.999, 16  # cosine to fp32 at least; first pictures compared
PASS_SECONDS = 2.0  # limit of one pass through the model on a CPU: Ctrl-C waits for its end
GPU_QUERY_BATCH = 32  # pictures in a batch: the 120 views of a photo full of cards would need 2.5 GB
# Pictures in a batch. ViT-B/32 makes 13 a second with 8 and with 64 (fp32, 2 cores). A query with EfficientNet-Lite0
# takes as long with 8 as with 32, and 420 MB instead of 670.
ENOUGH_FOR_A_CPU = 8


class Embedder:
    """A model loaded with PyTorch. `device` and `precision` are those in use: never `auto`."""
    runtime = "PyTorch"

    def __init__(self, spec: ModelSpec, device: str = "auto", precision: str = "auto") -> None:
        """Load the weights. Raises SuiteError if they do not fit or if the machine lacks the device."""
        import torch

        keep_freed_memory()
        self.spec, self.device = spec, pick_device(device)
        self.precision = pick_precision(precision, self.device)
        # auto is checked against fp32 on the first pictures. An explicit precision is not checked.
        self._unchecked = precision == "auto" and self.precision != "fp32"
        self._batch_limit = sys.maxsize
        try:
            self._model = load_model(spec).to(self.device)
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's types lack it
            if not self._unchecked:
                self._model.to(self._dtype())
        except (MemoryError, RuntimeError) as error:
            raise self._failure(error, 0) from error

    @property
    def made_with(self) -> dict[str, str]:
        """What makes the vectors, for the manifest."""
        import torch

        return {"runtime": self.runtime, "device": self.device, "precision": self.precision,
                "cpu_capability": torch.backends.cpu.get_cpu_capability()}

    @property
    def input_size(self) -> int:
        """Side of the model's input in pixels."""
        return self.spec.size

    def prepare(self, picture: NDArray[np.uint8], window: Window | None = None) -> NDArray[np.uint8]:
        """The function preparation.prepare, for this model."""
        return prepare(picture, self.spec, resize_with_torch, window)

    def embed_photos(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepare and embed RGB pictures of any size (uint8 [H, W, 3]). Returns float32 [len(pictures), D], as embed.

        Raises InvalidContent if a picture is too long for a card.
        """
        prepared = np.stack([self.prepare(picture) for picture in pictures])
        batch = ENOUGH_FOR_A_CPU if self.device == "cpu" else GPU_QUERY_BATCH
        return np.concatenate([self.embed(prepared[start:start + batch]) for start in range(0, len(prepared), batch)])

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pictures from prepare(), uint8 [B, size, size, 3]. Returns float32 [B, D], each row of norm 1.

        If the model gives a zero or non-finite vector, the row is all NaN. If the device lacks memory for a batch, the
        batch size is halved, also for later calls. It is also halved if a pass on a CPU takes longer than PASS_SECONDS.
        Raises SuiteError if the model fails otherwise.
        """
        vectors: list[NDArray[np.float32]] = []
        start = 0
        while start < len(pictures):
            batch, began, checking = pictures[start:start + self._batch_limit], time.monotonic(), self._unchecked
            try:
                vectors.append(self._pass(batch))
            except (MemoryError, RuntimeError) as error:  # torch reports a lack of memory as either
                if len(batch) == 1 or not _lacks_memory(error):
                    raise self._failure(error, len(batch)) from error
                self._batch_limit = (len(batch) + 1) // 2
                say(f"Out of memory: continuing with {self._batch_limit} pictures in a batch.")
                continue
            start += len(batch)
            if self.device == "cpu" and not checking and time.monotonic() - began > PASS_SECONDS:
                self._batch_limit = min(self._batch_limit, max(ENOUGH_FOR_A_CPU, len(batch) // 2))
        return np.concatenate(vectors)

    def _failure(self, error: Exception, pictures: int) -> SuiteError:
        return SuiteError("Build Error", f"the model failed on {pictures} pictures" if pictures else
                          f"the model does not fit on {self.device}",
                          (str(error).strip() or "out of memory").splitlines()[0][:200],
                          "Use another --device or a smaller --size. The vectors made so far are kept.")

    def _pass(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            pixels = input_tensor(pictures, self.spec, self.device).to(memory_format=torch.channels_last)
            if self._unchecked:
                self._check_precision(pixels[:AGREEMENT_PICTURES])
            features = self._model(pixels.to(self._dtype())).float().cpu().numpy()
        return unit_vectors(features)

    def _dtype(self) -> torch.dtype:
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def _check_precision(self, pixels: torch.Tensor) -> None:
        """Use the lower precision if it agrees with fp32 on the first pictures. Otherwise keep fp32."""
        import torch

        # Weights made in inference mode take a slower path through attention: 22 pictures/s instead of 37.
        with torch.inference_mode(False):
            lower = copy.deepcopy(self._model).to(self._dtype())
        exact, rounded = self._model(pixels), lower(pixels.to(self._dtype())).float()
        cosine = torch.nn.functional.cosine_similarity(exact, rounded).min().item()
        if cosine >= AGREEMENT:
            self._model = lower
        else:
            say(f"{self.precision} agrees with fp32 only to cosine {cosine:.4f} on this model: using fp32.")
            self.precision = "fp32"
        self._unchecked = False  # last: if the check ran out of memory, it is repeated


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in ("out of memory", "allocate memory"))


def pick_device(name: str) -> str:
    """The device for --device. Raises SuiteError if this machine does not have it."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, available in there.items() if available)
    if not there[name]:
        raise SuiteError("Configuration Error", f"this machine has no {name} device that PyTorch can use",
                         f"--device {name}, PyTorch {torch.__version__}", "Use --device auto.")
    return name


def pick_precision(name: str, device: str) -> str:
    """The precision for --precision. auto is fp16 on CUDA, bf16 on CPUs with bf16 units, otherwise fp32."""
    import torch

    if name != "auto":
        return name
    if device == "cuda":
        return "fp16"
    units = torch.cpu.get_capabilities() if device == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if units.get("amx_bf16") or units.get("avx512_bf16") else "fp32"
