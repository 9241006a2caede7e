"""``embudo denoise``, on files as users have them."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from embudo import Adam, ImageDenoiser, Training
from embudo.apps import denoising
from embudo.metrics.reconstruction import psnr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noisy and clean pictures: in colour, with transparency and a profile, and grey in a subfolder."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    china, flower = (image[::2, ::2][:120, :160] for image in load_sample_images().images)
    clean = {"china.png": china, "flower.png": flower, "grey/flower.png": flower[..., 1]}
    for name, image in clean.items():
        noisy = np.clip(np.rint(image + rng.normal(0, 25, image.shape)), 0, 255).astype(np.uint8)
        if name == "flower.png":
            noisy = np.dstack([noisy, np.full(noisy.shape[:2], 99, np.uint8)])
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noisy).save(folder / name, icc_profile=b"profile")
    return folder, clean


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def test_one_image(embudo, pictures, tmp_path):
    folder, clean = pictures
    noisy = np.asarray(opened(folder / "china.png"))
    for name, args in {"blind": (), "told": ("--sigma", 25), "quick": ("--views", 1)}.items():
        path = tmp_path / f"{name}.png"
        outcome = embudo("denoise", folder / "china.png", "-o", path, *args, "--json")
        assert outcome.status == 0, outcome.err
        (row,) = json.loads(outcome.out)["images"]
        denoised = np.asarray(opened(path))
        assert psnr(clean["china.png"], denoised) > psnr(clean["china.png"], noisy) + 4
        assert row["rms"] == pytest.approx(np.sqrt(np.square(noisy - denoised.astype(float)).mean()), rel=1e-3)
        assert (row["width"], row["height"]) == (160, 120)
        assert "icc_profile" not in opened(path).info
    expected = ImageDenoiser.pretrained().denoise(noisy, 25)
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "told.png")), expected)


def test_whole_folders_in_several_processes(embudo, pictures, tmp_path):
    folder, clean = pictures
    args = ("--workers", 2, "--metadata", "--pictures", tmp_path / "seen", "--views", 1)
    outcome = embudo("denoise", folder, "-o", tmp_path / "out", *args)
    assert outcome.status == 0, outcome.err
    for name, image in clean.items():
        written = opened(tmp_path / "out" / name)
        assert written.info["icc_profile"] == b"profile"
        pixels = np.asarray(written)
        if name == "flower.png":
            assert (pixels[..., 3] == 99).all()
            pixels = pixels[..., :3]
        assert psnr(image, pixels) > 24
    assert opened(tmp_path / "seen" / "china.png").width > 1000


def test_a_model_of_ones_own(embudo, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(denoising, "PATCHES", 16)
    folder, clean = pictures
    model = tmp_path / "model.safetensors"
    training = Training(1, batch_size=8, optimizer=Adam(1e-4))
    ImageDenoiser("jpeg", patch_size=16, training=training, random_state=0).fit([clean["china.png"]]).save(model)
    outcome = embudo("denoise", folder / "china.png", "-o", tmp_path / "out.jpg", "--model", model)
    assert outcome.status == 0, outcome.err
    assert opened(tmp_path / "out.jpg").format == "JPEG"
    facts = json.loads(embudo("info", model, "--json").out)
    assert facts["model"] == "ImageDenoiser"
    assert facts["images"] == ["colour"]
    assert facts["noise"] == "jpeg"
    told = embudo("denoise", folder / "china.png", "-o", tmp_path / "out.png", "--model", model, "--sigma", 5)
    assert told.status == 2
    assert "fitted on other noise" in told.err


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        ("denoise {f}/china.png", 2, "Missing option '-o'"),
        ("denoise {f}/chna.png -o {o}/x.png", 1, "No such file or folder"),
        ("denoise {f}/china.png -o {f}/china.png", 2, "would be written over"),
        ("denoise {f} -o {f}", 2, "would be written over"),
        ("denoise {f} -o {o}/x.png", 2, "name a folder"),
        ("denoise {f}/china.png -o {o}/x.png --sigma -1", 2, "--sigma must be a number at least 0"),
        ("denoise {f}/china.png -o {o}/x.png --views 3", 2, "'3' is not one of"),
        ("denoise {f}/china.png -o {o}/x.xyz", 2, "No image format"),
        ("denoise {f}/china.png -o {o}/x.png --model {f}/china.png", 1, "not a model file"),
        ("denoise {m} -o {o}/x.png", 1, "neither an image"),
        ("encode {m} {f} -o {o}/x.npy", 1, "embudo denoise --model"),
    ],
)
def test_a_bad_call_is_answered_in_one_line(refused, pictures, tmp_path, args, status, words):
    model = denoising._shipped()[0]
    refused(args.format(f=pictures[0], o=tmp_path, m=model).split(), status, words)
