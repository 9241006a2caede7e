"""`ImageDenoiser`: images without their noise."""

import inspect
import json
import pickle

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from sklearn.base import clone
from sklearn.datasets import load_sample_images

from embudo import Adam, Autoencoder, GaussianNoise, ImageDenoiser, Training, load
from embudo.apps import denoising
from embudo.apps.noises import NOISES
from embudo.errors import FileFormatError, InvalidData, InvalidParameter
from embudo.metrics.reconstruction import psnr

CHINA, FLOWER = load_sample_images().images
GREY = CHINA.mean(axis=2).round().astype(np.uint8)
QUICK = Training(1, batch_size=8, optimizer=Adam(1e-3))


@pytest.fixture(scope="module")
def pretrained():
    return ImageDenoiser.pretrained()


@pytest.fixture
def short(monkeypatch):
    """Epochs of a few patches."""
    monkeypatch.setattr(denoising, "PATCHES", 32)


def noisy(clean, sigma, seed=0):
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)


def eight_bits(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("clean", [GREY[:160, :200], FLOWER[100:260, 200:400]], ids=["grey", "colour"])
@pytest.mark.parametrize(("sigma", "gain"), [(15, 5), (25, 7), (50, 10)])
def test_noise_of_any_level_goes(pretrained, clean, sigma, gain):
    clean = clean / 255
    image = noisy(clean, sigma / 255)
    before = psnr(clean, image, peak=1)
    blind, told = pretrained.denoise(image), pretrained.denoise(image, sigma / 255)
    assert psnr(clean, blind, peak=1) > before + gain
    assert psnr(clean, told, peak=1) > before + gain
    assert psnr(clean, eight_bits(255 * blind) / 255, peak=1) == pytest.approx(psnr(clean, blind, peak=1), abs=0.05)
    stored = pretrained.denoise(eight_bits(255 * image))
    assert stored.dtype == np.uint8
    assert psnr(clean, stored / 255, peak=1) > before + gain - 1


def test_noise_beyond_what_was_learnt(pretrained):
    clean = GREY[:160, :160] / 255
    image = noisy(clean, 100 / 255)
    assert psnr(clean, pretrained.denoise(image, 100 / 255), peak=1) > psnr(clean, image, peak=1) + 12


def test_clean_images_stay(pretrained):
    assert psnr(GREY, pretrained.denoise(GREY)) > 35
    np.testing.assert_array_equal(pretrained.denoise(GREY, sigma=0), GREY)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3, 1), (7, 5, 2), (8, 8, 3), (33, 17, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_any_size_and_type(pretrained, shape, dtype):
    white = denoising.WHITE[dtype]
    image = (white * np.random.default_rng(0).random(shape)).astype(dtype)
    out = pretrained.denoise(image)
    assert (out.shape, out.dtype) == (shape, dtype)
    assert out.min() >= 0
    assert out.max() <= white
    if len(shape) == 3 and shape[2] in (2, 4):
        np.testing.assert_array_equal(out[..., -1], image[..., -1])
    lists = pretrained.denoise(image.astype(np.float64).tolist(), data_range=white)
    np.testing.assert_allclose(lists, out, atol=white / 100)


def test_units(pretrained):
    image = noisy(GREY[:64, :64], 20)
    expected = pretrained.denoise(image / 255, 20 / 255)
    np.testing.assert_allclose(pretrained.denoise(image, 20, data_range=255), 255 * expected, atol=1e-3)
    sixteen = eight_bits(image).astype(np.uint16) * 257
    np.testing.assert_allclose(
        pretrained.denoise(sixteen, 20 * 257) / 257, pretrained.denoise(eight_bits(image), 20), atol=0.51
    )


@pytest.mark.parametrize("n_views", [1, 2, 4, 8])
def test_views_are_turned_back(pretrained, n_views):
    image = np.zeros((40, 56))
    image[5:9, 20:50] = 1
    out = pretrained.denoise(image, 0.1, n_views=n_views)
    assert psnr(image, out, peak=1) > 25


def test_more_views_are_better(pretrained):
    clean = GREY[:160, :160] / 255
    image = noisy(clean, 0.1)
    scores = [psnr(clean, pretrained.denoise(image, n_views=n), peak=1) for n in (1, 2, 4, 8)]
    assert min(scores[1:]) > scores[0]
    assert scores[3] > scores[0] + 0.02


def test_an_image_is_left_as_it_was(pretrained):
    image = eight_bits(noisy(CHINA[:32, :32], 20))
    before = image.copy()
    image.flags.writeable = False
    pretrained.denoise(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(300, 261), (500, 40), (37, 777, 3)])
def test_windows_leave_no_seams(pretrained, monkeypatch, shape):
    image = np.random.default_rng(0).random(shape)
    whole = pretrained.denoise(image, 0.2, n_views=1)
    monkeypatch.setattr(denoising, "WINDOW", 256)
    np.testing.assert_allclose(pretrained.denoise(image, 0.2, n_views=1), whole, atol=1e-5)


def test_windows_are_no_larger_than_allowed_and_cover_everything():
    counts = np.zeros((1500, 2600), int)
    for core, window in denoising.windows(counts.shape, 100, 8):
        counts[core] += 1
        assert all(part.stop - part.start <= denoising.WINDOW for part in window)
        assert all(part.start % 8 == 0 for part in (*core, *window))
    assert (counts == 1).all()


BAD = {
    "NaN": (lambda d: d.denoise(np.full((4, 4), np.nan)), InvalidData, "NaN or infinite"),
    "infinite": (lambda d: d.denoise(np.full((4, 4), np.inf)), InvalidData, "NaN or infinite"),
    "another type": (lambda d: d.denoise(np.ones((4, 4), np.int64)), InvalidData, "got int64"),
    "text": (lambda d: d.denoise("image.png"), InvalidData, r"pass PIL\.Image\.open\('image\.png'\)"),
    "channels first": (lambda d: d.denoise(np.zeros((3, 9, 9))), InvalidData, r"pass image\.transpose\(1, 2, 0\)"),
    "empty": (lambda d: d.denoise(np.ones((0, 4))), InvalidData, r"got \(0, 4\)"),
    "several": (lambda d: d.denoise(np.ones((2, 4, 4, 3))), InvalidData, r"got \(2, 4, 4, 3\)"),
    "five channels": (lambda d: d.denoise(np.ones((4, 4, 5))), InvalidData, "1 to 4 channels"),
    "floats to 255": (lambda d: d.denoise(255 * np.ones((4, 4))), InvalidData, "data_range=255"),
    "negative level": (lambda d: d.denoise(GREY, -1), InvalidParameter, "sigma must be a number at least 0; got -1"),
    "level of text": (lambda d: d.denoise(GREY, "25"), InvalidParameter, "sigma must be a number"),
    "no white": (lambda d: d.denoise(GREY, data_range=0), InvalidParameter, "data_range must be a number greater"),
    "three views": (lambda d: d.denoise(GREY, n_views=3), InvalidParameter, "1, 2, 4 or 8; got 3"),
    "no such noise": (lambda d: ImageDenoiser("gausian").fit([GREY]), InvalidParameter, "did you mean 'gaussian'"),
    "noise of a number": (lambda d: ImageDenoiser(25).fit([GREY]), InvalidParameter, "got 25"),
    "no such method": (lambda d: ImageDenoiser(method="linear").fit([GREY]), InvalidParameter, "method must be"),
    "patch size": (lambda d: ImageDenoiser(patch_size=20).fit([GREY]), InvalidParameter, "multiple of 8; got 20"),
    "no images": (lambda d: ImageDenoiser().fit([]), InvalidData, "X holds no image"),
    "one image": (lambda d: ImageDenoiser().fit(GREY), InvalidData, "got one array"),
    "bad training image": (lambda d: ImageDenoiser().fit([GREY / 1.0]), InvalidData, "black is 0"),
    "no folder": (lambda d: ImageDenoiser().fit("/no/such"), FileFormatError, "/no/such"),
    "pairs of two lengths": (lambda d: ImageDenoiser().fit([GREY], X_clean=[]), InvalidData, "no image"),
    "too many of one": (lambda d: ImageDenoiser().fit([GREY, GREY], X_clean=[GREY]), InvalidData, "2 of X; got 1"),
    "pairs of two sizes": (lambda d: ImageDenoiser().fit([GREY], X_clean=[GREY[1:]]), InvalidData, "pair 0"),
    "validation": (lambda d: ImageDenoiser().fit([GREY], X_val=[GREY]), InvalidData, r"a pair \(X, X_clean\)"),
    "fraction": (
        lambda d: ImageDenoiser(training=Training(validation_fraction=0.5)).fit([GREY]),
        InvalidParameter,
        "X_val=",
    ),
    "patience": (lambda d: ImageDenoiser(training=Training(patience=1)).fit([GREY]), InvalidParameter, "X_val"),
}


@pytest.mark.parametrize("case", BAD)
def test_whatever_is_wrong_is_one_sentence(pretrained, case):
    call, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        call(pretrained)


@pytest.mark.parametrize("name", NOISES)
def test_named_noises(name):
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x_in, sigma = NOISES[name](x.clone(), torch.Generator().manual_seed(1))
    again, _ = NOISES[name](x, torch.Generator().manual_seed(1))
    other, _ = NOISES[name](x, torch.Generator().manual_seed(2))
    assert x_in.shape == x.shape
    torch.testing.assert_close(x_in, again, rtol=0, atol=0)
    assert not torch.equal(x_in, other)
    assert not torch.equal(x_in, x)
    assert abs(x_in.mean() - x.mean()) < 0.05
    if sigma is not None:
        unclipped = ((x_in < 0) | (x_in > 1)).flatten(1).any(dim=1)
        assert unclipped.any()
        torch.testing.assert_close((x_in - x)[unclipped].std(dim=(1, 2, 3)), sigma[unclipped], rtol=0.15, atol=0)


def darkened(x, generator):
    return x * 0.9


def _name(value):
    return getattr(value, "__name__", str(value))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("noise", [*NOISES, GaussianNoise(0.1), darkened], ids=_name)
@pytest.mark.parametrize("images", [[GREY, GREY[:20, :10]], [FLOWER, GREY]], ids=["grey", "colour"])
def test_fit_learns_any_noise(noise, images):
    model = ImageDenoiser(noise, patch_size=16, training=QUICK, random_state=0).fit(images)
    assert model.channels_ == (images[0].shape[2] if images[0].ndim == 3 else 1,)
    assert len(model.history_["loss"]) == 1
    for image in (GREY[:20, :20], FLOWER[:20, :20]):
        assert model.denoise(image).shape == image.shape
    if noise != "gaussian":
        with pytest.raises(InvalidParameter, match="fitted on other noise"):
            model.denoise(GREY, 25)


def test_salt_and_pepper_is_learnt(monkeypatch):
    monkeypatch.setattr(denoising, "PATCHES", 400)
    training = Training(1, batch_size=8, optimizer=Adam(1e-3), schedule="warmup_cosine")
    clean = GREY[:128, :128]
    u = np.random.default_rng(0).random(clean.shape)
    image = np.where(u < 0.1, 0, np.where(u > 0.9, 255, clean)).astype(np.uint8)
    model = ImageDenoiser("salt_and_pepper", patch_size=32, training=training, random_state=0).fit([GREY[128:]])
    assert psnr(clean, model.denoise(image)) > psnr(clean, image) + 10


@pytest.mark.usefixtures("short")
def test_pairs_are_learnt_and_measured():
    training = Training(12, batch_size=8, optimizer=Adam(1e-3), clip=0.1)
    dark = [(GREY * 0.5).astype(np.uint8), GREY[:50] / 510]
    clean = [GREY, GREY[:50] / 255]
    model = ImageDenoiser(method="scratch", patch_size=16, training=training, random_state=0)
    model.fit(dark, X_clean=clean, X_val=([dark[0][:64, :64]], [GREY[:64, :64]]))
    psnrs = model.history_["validation_psnr"]
    assert psnrs[-1] > psnrs[0] + 3
    out = model.denoise(dark[0][:64, :64] / 255, n_views=1)
    assert psnr(GREY[:64, :64] / 255, out, peak=1) == pytest.approx(psnrs[-1], abs=0.1)


@pytest.mark.usefixtures("short")
def test_random_state_decides_everything():
    one, same, other = (
        ImageDenoiser(method="scratch", patch_size=16, training=QUICK, random_state=seed).fit([GREY])
        for seed in (0, 0, 1)
    )
    image = GREY[:40, :40]
    torch.manual_seed(5)
    np.testing.assert_array_equal(one.denoise(image), same.denoise(image))
    weights = [next(model.module_.parameters()) for model in (one, other)]
    assert not torch.equal(*weights)


@pytest.mark.usefixtures("short")
def test_a_training_that_was_stopped_goes_on(tmp_path):
    calls = []

    def stopping(x, generator):
        calls.append(1)
        if len(calls) == 7:  # in the second epoch
            raise KeyboardInterrupt
        return NOISES["poisson"](x, generator)[0]

    def fitted(run_dir):
        training = Training(3, batch_size=8, optimizer=Adam(1e-3), run_dir=run_dir)
        return ImageDenoiser(stopping, patch_size=16, training=training, random_state=0).fit([GREY])

    with pytest.warns(UserWarning, match="interrupted"):
        stopped = fitted(tmp_path / "run")
    again, whole = fitted(tmp_path / "run"), fitted(None)
    assert [len(model.history_["epoch"]) for model in (stopped, again, whole)] == [1, 3, 3]
    image = GREY[:40, :40]
    np.testing.assert_array_equal(again.denoise(image), whole.denoise(image))
    assert not np.array_equal(stopped.denoise(image / 255), whole.denoise(image / 255))


@pytest.mark.usefixtures("short")
def test_files(tmp_path, pretrained):
    image = eight_bits(noisy(GREY[:50, :60], 20))
    fitted = ImageDenoiser("poisson", patch_size=16, training=QUICK, random_state=0).fit([GREY])
    for model, name in ((pretrained, "both"), (fitted, "one")):
        path = tmp_path / f"{name}.safetensors"
        model.save(path)
        assert path.stat().st_size < 6_000_000
        for again in (load(path), ImageDenoiser.load(path), pickle.loads(pickle.dumps(model))):
            assert again.get_params() == model.get_params()
            assert again.history_ == model.history_
            np.testing.assert_array_equal(again.denoise(image), model.denoise(image))
    assert clone(fitted).get_params() == fitted.get_params()


@pytest.mark.usefixtures("short")
def test_a_function_is_asked_for_when_a_file_is_read(tmp_path):
    def darker(x, generator):
        return x * 0.9

    path = tmp_path / "model.safetensors"
    ImageDenoiser(darker, patch_size=16, training=QUICK, random_state=0).fit([GREY]).save(path)
    with pytest.raises(InvalidParameter, match=r"noise=\.\.\."):
        load(path)
    assert load(path, noise=darker).noise is darker


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "ae.safetensors"
    Autoencoder(2, random_state=0).fit(np.random.default_rng(0).random((30, 4))).save(path)
    with pytest.raises(FileFormatError, match="class Autoencoder, not an ImageDenoiser"):
        ImageDenoiser.load(path)


def damaged(card, tensors, how):
    match how:
        case "channels":
            card["channels"] = [2]
        case "more channels":
            card["channels"] = [1, 3]
        case "no channels":
            del card["channels"]
        case "history":
            card["history"] = {"loss": 1}
        case "NaN":
            tensors["grey.head.weight"][0, 0, 0, 0] = torch.nan
        case "shape":
            tensors["grey.head.weight"] = tensors["grey.head.weight"][:1].clone()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("channels", "neither 1 nor 3"),
        ("more channels", "do not fit"),
        ("no channels", "'channels' is missing"),
        ("history", "history is not a table"),
        ("NaN", "not finite"),
        ("shape", "should be"),
    ],
)
def test_damaged_files_are_refused(tmp_path, how, words):
    with safetensors.safe_open(denoising._shipped()[0], framework="pt") as file:
        card = json.loads(file.metadata()["embudo"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    damaged(card, tensors, how)
    path = tmp_path / "damaged.safetensors"
    safetensors.torch.save_file(tensors, path, metadata={"embudo": json.dumps(card)})
    with pytest.raises(FileFormatError, match=words):
        load(path)


def test_shipped_weights_are_small():
    for path in denoising._shipped():
        assert path.stat().st_size < 3_000_000


def test_parameters_are_documented():
    text = ImageDenoiser.__doc__
    for name in inspect.signature(ImageDenoiser).parameters:
        assert f"{name} :" in text
