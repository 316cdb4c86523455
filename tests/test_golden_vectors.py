"""Canonical vectors: three generated pictures have the vectors and hashes of this PREPROCESSING_VERSION.

A change in PyTorch, Pillow, OpenCV, open_picture, prepare or picture_hash fails here, instead of silently mixing new
vectors with those of earlier builds. Where the change is wanted, raise PREPROCESSING_VERSION in embedding/models.py and
renew the values: python tests/test_golden_vectors.py prints them.
"""
from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.common import open_pixels
from mtg_image_db.embedding.embedder import Embedder
from mtg_image_db.embedding.models import PREPROCESSING_VERSION, ModelSpec, WeightsFile, describe_model
from mtg_image_db.embedding.open_clip_models import CLIP_MEAN, CLIP_STD
from mtg_image_db.embedding.picture_hash import art_hash, picture_hash
from mtg_image_db.embedding.preparation import input_tensor, prepare, resize_with_torch
from mtg_image_db.embedding.vision_transformer import VisionConfig, VisionTransformer

# A JPEG of 96 x 134 pixels, as bytes: an encoder of another version would write others.
JPEG = base64.b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00smF1_cBL1_cHO2L=cV5DE$j2?`Vr4-60&6c`v66c!d59VH(c8zUSR79cDjBPJ&)Dk&KsEif%8FeNA{DF"
    "534LjeZ|2MP!Z6AB6wC>j<TC@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@3f>C@BBH01*fPh5%p#0U`hb5di}c0sq7"
    "R8~^|U0s{d70000000000000FB1P1^D0|5yC!~iQ0009F70tEvF0RaF2000000RRF61O*WiAqEp7F;Ox>LKGEJVWA^p|HJ?r0RRF60RaI3000000"
    "000000jmE1P1~E0RO}QA`t)q1OfpC0RaF200000000310s{mE5g`T>A~7-&75~}*3<CiG0ucid06ze~-t`Wl-~xv}=-<ghskt<R)T!B|^3%dN!qB"
    "z3NH<E=@7$sl)xp`_FILopozg|Tbe-Qy<WJ=dxI4NG_jM_i(~b8+B%EsQwa$-$(Z)6tZa#3<rb{D+wyQUXWdW_-Q}(LB*NxNdmg?3uy-JT<R&=a7"
    "2ySL(xusaOFAk4Cq?N>S0vxBl@WU20C5z2)lQ=6W!qIyt*$XAi#OZgWqjGoplsV2*E(cr6fLK<|NNO>(km?eL9R$*Nhd(vR_w4+YYxf8KMS3m|{F"
    "9uxh)7y<F6^rUTfVQ7gFV9_?vw?<`?-2+@;yiej-G_OXsi}D$}w44obH3qSHE?|^OyUmvbD}evDKogG_SWJV+e#dE?Mr2QgIhA9e>o3R9?aEgVfi"
    "_8SYeBI#FC2RBdDoyeo!2DAX~p`nrAFpYl}2HQG&ME-9|ha4*xBB^TghuJ6zay=slJ?<DuDnY!FXl>&lr=8Tk5H@6G#-*14JA?c_bHdS(CA#s$Jg"
    "mLu0q&m6+8g@}Ls|$~{ki&G6f>c%(d#LQWW!TDzcGS{PXrzBQckYQZIv(BaGt;nK)nMBn&&RrFrL~z@4idKsw7tyAx2$wcbS=pCOPMaHFr5Oso_8"
    "wp?Px4vI#qdnr!hI(FQD(%_K01wr#QNhHP66O;`*4*bV}kU7nF${xN>2#)!>cNysa#dgi6@wG=#%7(DtGb*)_RVZMwS*8=}$NHtvzAr*LRQ8B*+b"
    "K&6*uT^&u^<7w&k^WhGywih(?s|?$Rg`=%O{{R)8`A5piE3lU;TIpkZ$>}I7czNPn=_>qx4z^E%jV}zfqdFI#+A(;Np7E8-nybzopfu&V9hH-5t8"
    "7t#PqGhHZxp$}#t^EDiGY!nQdc_Z*i0?M_eRrI;<>U!Kq|1}Sb4?RMdZ4fcGS3-zN7YtQDdr|mEZC^Lu$32(&tJ}l`e|b=8>|0ZJ0RcN|hCu4~k)"
    "KSdpZ?mIfxJDryG+Hd9+d?+LCuSRWPHw(NT^joqyN#p2f;t51|XE!i7E+$~)o3xu^Hp6j`>E^yEa&10t`k%++G3zb=jF!n$yZo)C@LMrd$1Zqnb`"
    "f6vpU?;p>;f-4H6Pt%&R=1ZsS;B0%+ywdEE!IKJB;gdtVciGNOana>14N*7?smP?9kIh~p)RH|oZ)XBPbBw7-HCML#4f+P6#NA3Ok=?8r$!ijB$|"
    "7+2pW;9JC3|=sY`*D9!eE<skl5-3u9^aTZr1B)6{Am*Ksl)=v>33tv^W3A=n9mO2LlkWp#EMdXkIyfD!6YD=&e~JxgM4Ja3SL#aY0q*L$IEaOAB~"
    "c6pGEN*&JSuRTa8oW4%#=*GqQ*$C_(rZqTGRXS2KQQBxZjT<G48%v8*^{$&!2FY6|6mXsr-cj=xc%U`Znp$uYrOY{m;aU~c8klxT_iI@$JuBR0$X"
    "I-p%qu5zhSFS9yh-kvZ8E&+?xM$OcQewM?KZ+O(y!$1R(mwntK%9Y0LY3^mlg#yYEvj}<TPxii+S*~+Xbb^Nu9T<HM%-qJN@D3<h6a#&K=6-_L+P"
    "YhS?)WVzyrNYaJc6qw34gbs~)Fcu`Fo+II?V3}vqi$tNG47htzsCw?4eOI4d?gcdbcoI33#s?4%X0~)jZ<J?KosU%Uj@{7wz9L~rkeYLJ9WW~>Jl"
    "?J9(oTOQ-PZ{w{czW>ymZP+{U!@wLwzas~df8eWr&H80cu}(Lhn+bU%FEf0!B3^5Xai*}w2kniMOwf+uHw0#Lb%rx?PixVHX7mqRa3ZN0qFiH6?{"
    "4v)6lMYZLG(nAh%0<Lk~)Fk0|1Op>gCKN~5keu3majen&1&%E{siP~BT3TDEDFqi|X;YB^qV=AssPG!ULGb$VJiRs937;F+jpA)|CQ>_Sg!m8(UC"
    "IDLOlbryQ>+74$p?xRaF@`tk&$vuQ)4}IH3{<{ad-M1`zrMJ#}t}dw~-9u{<$cDg7mgO@ul-w@Z`7MRx{*qa$K32b0?<sy(eh!kH)LQ3leHcO$cV"
    "N&~EJT^~lG*gDZY5~yRn>U^08+7HW~K6(sr;{K{XsBMo{+I(mSjHnwJf`39#XMlu~Z@$bI4I-Dm0E*u|<*|Daqd|JDgU9#bU&VXXv5N_P_tx")
COMPONENTS, TOLERANCE = 8, 2e-5  # fp32 kernels of different CPUs differ by about 1e-6
GOLDEN = {  # picture and --fit: 8 components of efficientnet-lite0, 8 of the transformer, the hash
    "jpeg, crop": (
        [0.007838, 0.008142, 0.000936, 0.011277, 0.018012, 0.015858, -0.001768, 0.011359],
        [0.069125, 0.085846, -0.253095, 0.17299, -0.117357, 0.053514, 0.175953, -0.224365],
        "f83ce39b92edb26df22d98ad58f568daa3026369092d492d492d9774e21896d9"
        "e9be08b0e343d4699c35f6969c94f65add49f6641c2c94d39c85f2409c1bb64e81c0eb0bdc8654b6769ddd76233cdcd4"
        "26755ac1242659692768d835256edced3e5cc8f25c762bcb2178292b832129a882dd2b7d963f286da3f14b69d02b2df9"),
    "png, crop": (
        [-0.01382, -0.008276, -0.037236, -0.014921, -0.011443, -0.019628, -0.022448, -0.013837],
        [0.056488, 0.077712, -0.255363, 0.180333, -0.11667, 0.063366, 0.183856, -0.219555],
        "f85e6619e93216e5e639295ac731384e96cdd8a62956e63918c647b1384ee739"
        "fe05d92614eb631c631826f8eb3427f86318631414f9d926eb3526d9eb159ce395eae31926191c471c473e43b6193e4b"
        "1c471c473659e219a6dd1ce799e6e3b801f822f8e3b89c679c67c1bc14eac3f89c271c67e3b823f814ebdd261c476398"),
    "transparent, crop": (
        [-0.013586, -0.020075, -0.036127, -0.016182, -0.024314, -0.025845, -0.019601, -0.016258],
        [0.028834, 0.059851, -0.267282, 0.1931, -0.109624, 0.088226, 0.200625, -0.219529],
        "d6a989a647a13a4ae85ee91a364dc9b249b216e547a1d8b6b85e763d89e647a1"
        "c5fa05fa2ad5be03be07aa1505faaa15be07be0b2a1501f815fafa07d40b41fc36cb8bf4aa55d52add0afe07c926fe07"
        "fd03d52aaa158bf4c1207e03552a22d5631d84eaeb14542ad52aeb2694ebe926d52b542beb148af514ebeb1414eb2ad5"),
    "png, pad": (
        [-0.007275, -0.017929, -0.021313, -0.013092, -0.019429, -0.018095, -0.019155, -0.039664],
        [0.067373, 0.087982, -0.259493, 0.173177, -0.1178, 0.051853, 0.174013, -0.23078],
        "f85e6619e93216e5e639295ac731384e96cdd8a62956e63918c647b1384ee739"
        "fe05d92614eb631c631826f8eb3427f86318631414f9d926eb3526d9eb159ce395eae31926191c471c473e43b6193e4b"
        "1c471c473659e219a6dd1ce799e6e3b801f822f8e3b89c679c67c1bc14eac3f89c271c67e3b823f814ebdd261c476398"),
    "png, squash": (
        [-0.010177, -0.008665, -0.033778, -0.02299, -0.012055, -0.025851, -0.021144, -0.019809],
        [0.055525, 0.080313, -0.261478, 0.18099, -0.115315, 0.063185, 0.180891, -0.226653],
        "f85e6619e93216e5e639295ac731384e96cdd8a62956e63918c647b1384ee739"
        "fe05d92614eb631c631826f8eb3427f86318631414f9d926eb3526d9eb159ce395eae31926191c471c473e43b6193e4b"
        "1c471c473659e219a6dd1ce799e6e3b801f822f8e3b89c679c67c1bc14eac3f89c271c67e3b823f814ebdd261c476398"),
}


def generated() -> dict[str, bytes]:
    """Pictures by name: what Pillow decodes, and what open_picture does to transparency."""
    random, made = np.random.default_rng(1), {"jpeg": JPEG}
    for name, bands in (("png", 3), ("transparent", 4)):
        fields = random.integers(0, 256, (7, 5, bands), np.uint8)
        pixels = fields.repeat(100, 0)[:680].repeat(100, 1)[:, :488]
        gradient = np.linspace(0, 60, 680, dtype=np.float32)[:, None, None]
        data = io.BytesIO()
        Image.fromarray((pixels * 0.75 + gradient).astype(np.uint8)).save(data, "PNG", compress_level=1)
        made[name] = data.getvalue()
    return made


def seeded_transformer(pixels: np.ndarray, fit: str) -> np.ndarray:
    """The vector of a plain vision transformer whose weights come from numpy's generator, which does not change."""
    spec = ModelSpec("seeded", "", WeightsFile(Path(), "", 0, 0), fit, 224, 224, CLIP_MEAN, CLIP_STD)
    tower, random = VisionTransformer(VisionConfig(32, layers=2, width=128, patch_size=32, quick_gelu=True)), \
        np.random.default_rng(0)
    tower.load_state_dict({name: torch.from_numpy(0.1 * random.standard_normal(tuple(tensor.shape)).astype(np.float32))
                           for name, tensor in tower.state_dict().items()}, assign=True)
    with torch.inference_mode():
        vector = tower.eval()(input_tensor(prepare(pixels, spec, resize_with_torch)[None], spec))[0].numpy()
    return vector / np.linalg.norm(vector)


def measured() -> dict[str, tuple[list[float], list[float], str]]:
    """For each picture: components of both models' vectors, and the two perceptual hashes in hex."""
    pictures, values = generated(), {}
    for name, fit in (("jpeg", "crop"), ("png", "crop"), ("transparent", "crop"), ("png", "pad"), ("png", "squash")):
        pixels, spec = open_pixels(pictures[name]), describe_model("efficientnet-lite0", fit=fit)
        prepared = prepare(pixels, spec, resize_with_torch)[None]
        vectors = Embedder(spec, "cpu", "fp32").embed(prepared)[0], seeded_transformer(pixels, fit)
        efficientnet, transformer = (vector[:COMPONENTS].astype(float).round(6).tolist() for vector in vectors)
        values[f"{name}, {fit}"] = efficientnet, transformer, "".join(
            made(pixels).tobytes().hex() for made in (picture_hash, art_hash))
    return values


@pytest.fixture(scope="module")
def now() -> dict[str, tuple[list[float], list[float], str]]:
    return measured()


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("number, model", [(0, "efficientnet-lite0"), (1, "the plain transformer")])
def test_vectors_are_those_of_this_preprocessing_version(now, name, number, model):
    found, expected = now[name][number], GOLDEN[name][number]
    assert np.abs(np.subtract(found, expected)).max() < TOLERANCE, f"{model}: raise PREPROCESSING_VERSION"


@pytest.mark.parametrize("name", GOLDEN)
def test_hashes_are_those_of_this_preprocessing_version(now, name):
    assert now[name][2] == GOLDEN[name][2], "raise PREPROCESSING_VERSION"


def test_the_values_belong_to_this_version():
    assert PREPROCESSING_VERSION == 3, "renew GOLDEN too"


if __name__ == "__main__":
    for title, (first, second, digest) in measured().items():
        print(f'    "{title}": (\n        {first},\n        {second},\n        "{digest}"),')
