"""The text tower of a CLIP model as ONNX, and its tokenizer as the file tokenizer.json.

    if has_words(spec):
        network, tokenizer = export_text_tower(spec), tokenizer_json(spec)

tokenizer.json is the format of the package tokenizers (Apache-2.0, 12 MB), which needs no PyTorch.
Reads   the model's weights, and open_clip's vocabulary
Writes  nothing: index/model_file.py does
"""
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.models import OFFLINE_MODEL, ModelSpec, weights_errors
from mtg_image_db.embedding.onnx_tower import exported_program, is_too_large
from mtg_image_db.embedding.open_clip_models import import_open_clip, text_config

if TYPE_CHECKING:
    import onnx
    import torch

TOKENS = "tokens"
CONTEXT = 77  # tokens of a text, with its start and its end: open_clip's DEFAULT_CONTEXT_LENGTH
START, END = "<start_of_text>", "<end_of_text>"
# How CLIP's tokenizer splits a text (open_clip's tokenizer.py, from OpenAI's).
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# Phones write curly quotes. CLIP saw straight ones: its own tokenizer replaces them too.
STRAIGHT = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}


def has_words(spec: ModelSpec) -> bool:
    """True if the model has a text tower with CLIP's own tokenizer. The tokenizers of other models lie on a hub."""
    if spec.model == OFFLINE_MODEL:
        return False
    text = text_config(spec.model)
    return bool(text) and not any(key.startswith(("hf_", "tokenizer_")) for key in text)


def export_text_tower(spec: ModelSpec) -> onnx.ModelProto:
    """Export the text tower: tokens, int32 [B, context] -> float32 [B, D], not of norm 1.

    Raises SuiteError if PyTorch cannot write this architecture as ONNX, or if it does not fit into one file.
    """
    import torch

    tower = _text_tower(spec)
    if is_too_large(tower):
        raise _failure(spec, "its weights take more than 2 GB")
    tokens = torch.zeros(2, context_of(spec), dtype=torch.int32)
    try:
        return exported_program(tower, tokens, TOKENS, ({0: torch.export.Dim.AUTO},))
    except torch.onnx.OnnxExporterError as error:
        raise _failure(spec, next(iter(str(error).splitlines()), "PyTorch gave no reason")) from error


def context_of(spec: ModelSpec) -> int:
    """The tokens of a text, padded with 0."""
    return int(text_config(spec.model).get("context_length", CONTEXT))


def tokenizer_json(spec: ModelSpec) -> str:
    """CLIP's tokenizer. It cuts a text at the model's context, and pads it with 0."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary, merges = _vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, continuing_subword_prefix="",
                                     end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFC(), *(normalizers.Replace(curly, straight) for curly, straight in STRAIGHT.items()),
        normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(word, vocabulary[word]) for word in (START, END)])
    tokenizer.enable_truncation(context_of(spec))
    tokenizer.enable_padding(pad_id=0, pad_token="!", length=context_of(spec))
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(the numbers of the tokens, the pairs that are joined, the most frequent first)."""
    tokenizer = import_open_clip().tokenizer.SimpleTokenizer()
    return tokenizer.encoder, list(tokenizer.bpe_ranks)


def _text_tower(spec: ModelSpec) -> torch.nn.Module:
    import torch

    open_clip = import_open_clip()

    class TextSide(torch.nn.Module):
        """The model's text side: [B, context] -> [B, D]."""

        def __init__(self, clip: Any) -> None:
            super().__init__()
            clip.visual = None
            self.clip: Any = clip

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.clip.encode_text(tokens.long())

    with weights_errors(spec):
        return TextSide(open_clip.create_model(spec.model, pretrained=str(spec.weights.path), weights_only=True)).eval()


def _failure(spec: ModelSpec, why: str) -> SuiteError:
    return SuiteError("Build Error", "the text side of this model cannot be written as ONNX", f"{spec.model}: {why}",
                      "The index finds pictures by pictures, and not by words.")
