"""Images to bytes and back."""

import pickle
import shutil
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from embudo import Adam, ImageCodec, Training, load
from embudo.codec import learning
from embudo.codec.container import unpack
from embudo.codec.images import unpack_metadata
from embudo.codec.tiles import segments
from embudo.codec.transform import decoded, overlapped_blocks, principal_axes
from embudo.errors import FileFormatError, InvalidData, InvalidParameter
from embudo.metrics.reconstruction import psnr
from embudo.models.persistence import read, write


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (8, 8), (9, 1), (63, 65), (3, 600), (520, 1030)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_kind_comes_back(codec, photographs, size, channels):
    image = np.resize(photographs[0], (*size, 3))
    image = np.concatenate([image, image[::-1, :, 1:2]], axis=2)[
        ..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: range(4)}[channels]
    ]
    decoded = codec.decode(codec.encode(image, 95))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert psnr(image[..., :3], decoded[..., :3]) > 30
    if channels % 2 == 0:
        np.testing.assert_array_equal(decoded[..., -1], image[..., -1])


def test_two_dimensions_are_grey(codec, small):
    np.testing.assert_array_equal(codec.decode(codec.encode(small[..., 0])), codec.decode(codec.encode(small[..., :1])))


@pytest.mark.parametrize("name", ["codec", "trained_codec", "grey_codec"])
def test_size_and_error_follow_the_quality(request, photographs, name):
    codec = request.getfixturevalue(name)
    image = photographs[0][..., : codec.channels_]
    files = [codec.encode(image, quality) for quality in range(1, 101, 3)]
    sizes = [len(data) for data in files]
    assert sizes == sorted(sizes)
    distortions = [psnr(image, codec.decode(data)) for data in files]
    assert distortions == sorted(distortions)
    if codec.channels_ == 3:  # the grey one keeps 12 of 16 components
        assert distortions[-1] > 50
    assert sizes[-1] > 10 * sizes[0]


def test_tiles_leave_no_seams(codec, photographs):
    """What is coded and decoded in tiles is what the network makes of the image as a whole."""
    image = np.tile(photographs[0], (3, 4, 1))[:560, :1100]
    whole = torch.from_numpy(image[:560, :1096]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        h = codec.module_.encode(whole)
        expected, reconstruction = h.numpy()[0], codec.module_.decode(h)[0]
    found = np.zeros_like(expected)
    groups = list(segments(1, 560, 1096))
    latents = list(codec._latents(image[None, :, :1096]))
    for tiles, y in zip(groups, latents, strict=True):
        for tile, codes in zip(tiles, y, strict=True):
            top, left = tile.top // 8, tile.left // 8
            found[:, top : top + codes.shape[1], left : left + codes.shape[2]] = codes
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert len(groups) > 4
    back = np.zeros((3, 560, 1096), np.float32)
    tiles = [
        (tile, torch.from_numpy(codes))
        for group, y in zip(groups, latents, strict=True)
        for tile, codes in zip(group, y, strict=True)
    ]
    for (_, rows, columns), x in decoded(codec.module_, tiles, (560, 1096)):
        back[:, rows, columns] = x
    np.testing.assert_allclose(back, reconstruction, atol=2e-3)


@pytest.mark.parametrize("what", ["encode", "decode"])
def test_memory_does_not_grow_with_the_image(codec, photographs, what):
    """Beyond the image itself; what torch holds is of a tile, and not counted."""
    tile = np.dstack([photographs[0], np.full_like(photographs[0][..., 0], 200)])
    peaks = []
    for rows in (3, 9):
        image = np.tile(tile, (rows, 4, 1))
        data = codec.encode(image, 1)
        tracemalloc.start()
        result = codec.encode(image, 1) if what == "encode" else codec.decode(data)
        kept = 0 if what == "encode" else result.nbytes
        peaks.append(tracemalloc.get_traced_memory()[1] - kept)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 4 * len(data) + 10**6


@pytest.mark.parametrize("max_bytes", [600, 1500, 9000])
def test_a_size_that_is_wanted(codec, photographs, max_bytes):
    data = codec.encode(photographs[0], max_bytes=max_bytes)
    assert 0.97 * max_bytes < len(data) <= max_bytes
    height, width = photographs[0].shape[:2]
    assert codec.encode(photographs[0], bpp=8 * max_bytes / (height * width)) == data


def test_a_size_that_cannot_be(codec, photographs):
    with pytest.raises(InvalidParameter, match="the least is"):
        codec.encode(photographs[0], max_bytes=20)
    with pytest.raises(InvalidParameter, match="not both"):
        codec.encode(photographs[0], max_bytes=200, bpp=1)


def test_several_images_share_a_file(grey_codec):
    from sklearn.datasets import load_digits

    images = (load_digits().images[:150] * 15).astype(np.uint8)[..., None]
    data = grey_codec.encode(images, 20)
    decoded = grey_codec.decode(data)
    assert decoded.shape == images.shape
    one_by_one = [grey_codec.encode(image, 20) for image in images]
    assert len(data) < 0.6 * sum(map(len, one_by_one))
    singly = np.stack([grey_codec.decode(part) for part in one_by_one])
    assert psnr(images, decoded) == pytest.approx(psnr(images, singly), abs=0.3)


def test_metadata_are_kept(codec, small):
    kept = {"icc": b"profile" * 50, "exif": b"Exif\0\0", "xmp": b"<x/>"}
    data = codec.encode(small, metadata=kept)
    assert unpack_metadata(unpack(data)) == kept
    assert len(data) < len(codec.encode(small)) + 130
    with pytest.raises(InvalidParameter, match="did you mean 'exif'"):
        codec.encode(small, metadata={"exf": b""})


def test_the_axes_are_those_of_pca(photographs):
    blocks = overlapped_blocks(photographs[0], 4) + 128
    mean, axes = principal_axes([photographs[0]], 4)
    centred = blocks - np.repeat(mean, 16)
    pca = PCA(10).fit(np.concatenate([centred, -centred]))  # about the mean colour, not the mean block
    np.testing.assert_allclose(np.abs(axes.reshape(48, 48)[:10] @ pca.components_.T), np.eye(10), atol=1e-5)
    np.testing.assert_allclose(mean, photographs[0].mean(axis=(0, 1)), rtol=0.01)


def test_fewer_components_keep_what_pca_keeps(photographs):
    codec = ImageCodec(6, block=4, method="linear").fit(photographs)
    image = photographs[0][:208, :320]
    blocks = overlapped_blocks(image, 4) + 128
    mean, axes = principal_axes(photographs, 4)
    kept = axes[:6].reshape(6, 48)
    centred = blocks - np.repeat(mean, 16)
    best = 10 * np.log10(255**2 / np.square(centred - centred @ kept.T @ kept).mean())
    assert psnr(image, codec.decode(codec.encode(image, 100))) == pytest.approx(best, abs=0.1)


def test_fitting_beats_what_was_fitted_elsewhere(codec, grey_codec):
    from sklearn.datasets import load_digits

    images = (load_digits().images * 15).astype(np.uint8)[..., None]
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    own = ImageCodec(block=8, method="linear").fit(images[:1500])
    held_out = images[1500:1560]
    size = len(own.encode(held_out, 50))
    other = codec.decode(codec.encode(held_out, max_bytes=size))
    assert psnr(held_out, own.decode(own.encode(held_out, 50))) > psnr(held_out, other) + 3


def test_held_out_images_give_a_curve(photographs):
    history = ImageCodec(block=4, method="linear").fit(photographs[:1], X_val=photographs[1:]).history_
    assert len(history["quality"]) == len(history["psnr"]) == len(history["bits_per_pixel"])
    assert history["psnr"] == sorted(history["psnr"])
    assert history["bits_per_pixel"] == sorted(history["bits_per_pixel"])


def test_training_goes_on_where_it_was(photographs, tmp_path, monkeypatch):
    """Of a training that was stopped, the networks that are learnt are not learnt again."""
    monkeypatch.setattr(learning, "N_PLACES", 2**12)
    training = Training(2, batch_size=256, run_dir=tmp_path)
    codec = ImageCodec(block=4, method="scratch", training=training, random_state=0).fit(photographs)
    assert list(codec.training_history_) == [f"network {i}" for i in range(4)]
    shutil.rmtree(tmp_path / "network 3")
    again = clone(codec).fit(photographs)
    assert again.model_id_ == codec.model_id_
    with pytest.raises(InvalidParameter, match="random_state"):
        clone(codec).set_params(random_state=None).fit(photographs)


def test_finetuning_begins_with_the_codec_that_comes_along(photographs, monkeypatch):
    """And suits the images better than that."""
    monkeypatch.setattr(learning, "N_PLACES", 2**11)
    shipped = ImageCodec.pretrained()
    grey = [image[:160, :160, 1] for image in photographs]
    codec = ImageCodec(training=Training(3, batch_size=256, optimizer=Adam(1e-3)), random_state=0).fit(grey)
    np.testing.assert_array_equal(*(c.module_.projection.weight.detach().numpy() for c in (codec, shipped)))
    sizes = [sum(len(c.encode(image, 60)) for image in grey) for c in (codec, shipped)]
    assert sizes[0] < sizes[1]


def test_what_does_not_come_along_cannot_be_finetuned(photographs):
    for params in ({"block": 8}, {"n_components": 50}):
        with pytest.raises(InvalidParameter, match='method="scratch"'):
            ImageCodec(**params).fit(photographs)


def test_a_folder_of_images(tmp_path, photographs):
    from PIL import Image

    for i, image in enumerate(photographs):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    assert (
        ImageCodec(block=4, method="linear").fit(tmp_path).model_id_
        == ImageCodec(block=4, method="linear").fit(photographs).model_id_
    )


def test_files_of_codecs(codec, small, tmp_path):
    path = tmp_path / "codec.safetensors"
    codec.save(path)
    again = load(path)
    assert again.model_id_ == codec.model_id_
    assert repr(again) == repr(codec)
    data = codec.encode(small)
    assert again.encode(small) == data
    np.testing.assert_array_equal(again.decode(data), codec.decode(data))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(codec)).decode(data), codec.decode(data))


def test_damaged_files_of_codecs_are_refused(codec, tmp_path):
    path = tmp_path / "codec.safetensors"
    codec.save(path)
    good = path.read_bytes()
    start = 8 + int.from_bytes(good[:8], "little")
    for at in np.linspace(start, len(good) - 1, 60).astype(int):
        path.write_bytes(good[:at] + bytes([good[at] ^ 64]) + good[at + 1 :])
        with pytest.raises(FileFormatError, match="damaged"):
            ImageCodec.load(path)
    for end in (0, 7, start - 5, start + 5, len(good) - 1):
        path.write_bytes(good[:end])
        with pytest.raises(FileFormatError, match=r"codec\.safetensors"):
            ImageCodec.load(path)


@pytest.mark.parametrize(
    ("entries", "kind", "words"),
    [
        ({"history": [1]}, None, "its curve is not a table"),
        ({"history": {"loss": [1.0]}}, None, "its curve is of something else"),
        ({"training_history": {"networks": {"loss": 1}}}, None, "its history is not a table"),
        ({}, torch.bfloat16, "bfloat16|points are not numbers"),  # as other libraries teach NumPy of it or not
    ],
)
def test_forged_files_of_codecs_are_refused(codec, tmp_path, entries, kind, words):
    path = tmp_path / "codec.safetensors"
    codec.save(path)
    card, tensors = read(path)
    tensors = {name: x.int() if x.dtype == torch.uint16 else x for name, x in tensors.items()}
    if kind is not None:
        tensors["shrinkage"] = tensors["shrinkage"].to(kind)
    write(path, card | entries, tensors)  # by torch, whose types are more, but for uint16 before safetensors 0.6
    with pytest.raises(FileFormatError, match=f"(?i){words}"):
        ImageCodec.load(path)


def test_another_model_is_told_apart(codec, grey_codec, small):
    data = codec.encode(small)
    with pytest.raises(FileFormatError, match=f"encoded by the model {codec.model_id_}.*{grey_codec.model_id_}"):
        grey_codec.decode(data)


def test_the_codec_that_comes_along(small):
    codec = ImageCodec.pretrained()
    data = codec.encode(small, 60)
    assert len(data) < small.size / 2
    assert psnr(small, codec.decode(data)) > 33


@pytest.mark.parametrize(
    ("image", "error", "phrase"),
    [
        (np.zeros((4, 4, 3)), InvalidData, r"got float64: where white is 1, pass \(255 \* image\)"),
        (np.zeros((3, 9, 9), np.uint8), InvalidData, r"pass image\.transpose\(1, 2, 0\)"),
        ("a.png", InvalidData, r"not the name of a file: pass PIL\.Image\.open\('a\.png'\)\.$"),
        (np.zeros((4, 4, 5), np.uint8), InvalidData, "1 to 4 channels"),
        (np.zeros((0, 4), np.uint8), InvalidData, "shape"),
        (np.zeros(4, np.uint8), InvalidData, "shape"),
    ],
)
def test_what_is_no_image(codec, image, error, phrase):
    with pytest.raises(error, match=phrase):
        codec.encode(image)


def test_what_cannot_be_fitted_or_used(photographs, grey_codec, small):
    with pytest.raises(InvalidParameter, match="block"):
        ImageCodec(block=7, method="linear").fit(photographs)
    with pytest.raises(InvalidParameter, match="smaller block"):
        ImageCodec(block=64, method="linear").fit(photographs)
    with pytest.raises(InvalidParameter, match="n_components"):
        ImageCodec(49, block=4, method="linear").fit(photographs)
    with pytest.raises(InvalidData, match="no image"):
        ImageCodec().fit([])
    with pytest.raises(InvalidData, match="grey"):
        grey_codec.encode(small)
    with pytest.raises(NotFittedError):
        ImageCodec().encode(small)
    with pytest.raises(NotFittedError):
        clone(grey_codec).decode(b"")
