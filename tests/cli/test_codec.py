"""The verbs of the codec, on files as users have them."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from embudo import ImageCodec
from embudo.metrics.reconstruction import psnr


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder: a photograph that lies on its side by EXIF, one with alpha and a profile, a grey one in a subfolder."""
    folder = tmp_path_factory.mktemp("pictures")
    china, flower = (image[::2, ::2] for image in load_sample_images().images)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    Image.fromarray(china).save(folder / "china.png", exif=exif)
    alpha = np.linspace(0, 255, flower[..., 0].size).astype(np.uint8).reshape(flower.shape[:2])
    Image.fromarray(np.dstack([flower, alpha])).save(folder / "flower.png", icc_profile=b"profile")
    (folder / "grey").mkdir()
    Image.fromarray(flower[..., 1]).save(folder / "grey" / "flower.jpg", quality=95)
    return folder


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def test_compress_and_decompress_one(embudo, pictures, tmp_path):
    out = embudo("compress", pictures / "china.png", "-o", tmp_path / "china.emb", "--quality", 40, "--json")
    assert out.status == 0, out.err
    (row,) = json.loads(out.out)["images"]
    assert row["bytes"] == (tmp_path / "china.emb").stat().st_size
    assert embudo("decompress", tmp_path / "china.emb").status == 0
    upright = np.rot90(np.asarray(opened(pictures / "china.png")), -1)
    decoded = np.asarray(opened(tmp_path / "china.png"))
    assert decoded.shape == upright.shape
    assert psnr(upright, decoded) == pytest.approx(row["psnr"], abs=1e-3)
    assert row["bits_per_pixel"] == pytest.approx(8 * row["bytes"] / (214 * 320))

    facts = json.loads(embudo("info", tmp_path / "china.emb", "--json").out)
    assert (facts["width"], facts["height"]) == (214, 320)
    assert facts["model_id"] == ImageCodec.pretrained().model_id_


def test_info_lists_the_curve_of_a_codec(embudo, tmp_path):
    ImageCodec.pretrained().save(tmp_path / "codec.safetensors")
    curve = json.loads(embudo("info", tmp_path / "codec.safetensors", "--json").out)["rate_distortion"]
    rates, distortions = zip(*((point["bits_per_pixel"], point["psnr"]) for point in curve.values()), strict=True)
    assert list(rates) == sorted(rates)
    assert list(distortions) == sorted(distortions)
    assert "quality 50" in curve


def test_whole_folders_in_several_processes(embudo, pictures, tmp_path):
    outcome = embudo("compress", pictures, "-o", tmp_path / "emb", "--max-bytes", 6000, "--workers", 2)
    assert outcome.status == 0, outcome.err
    assert "mean of 3" in outcome.out
    names = sorted(str(path.relative_to(tmp_path / "emb")) for path in (tmp_path / "emb").rglob("*.emb"))
    assert names == ["china.emb", "flower.emb", "grey/flower.emb"]
    assert embudo("decompress", tmp_path / "emb", "-o", tmp_path / "png", "--workers", 2).status == 0
    back = np.asarray(opened(tmp_path / "png" / "flower.png"))
    np.testing.assert_array_equal(back[..., 3], np.asarray(opened(pictures / "flower.png"))[..., 3])
    assert opened(tmp_path / "png" / "grey" / "flower.png").mode == "L"


def test_metadata_on_request(embudo, pictures, tmp_path):
    for name, option in (("with", "--metadata"), ("without", "--no-metadata")):
        folder = tmp_path / name
        assert embudo("compress", pictures, "-o", folder, option).status == 0
        assert embudo("decompress", folder).status == 0
        kept = name == "with"
        assert (opened(folder / "flower.png").info.get("icc_profile") == b"profile") is kept
        exif = opened(folder / "china.png").getexif()
        assert (exif.get(0x010F) == "a camera") is kept
        assert 0x0112 not in exif, "the pixels are upright already"


def test_metadata_in_and_out_of_tiff(embudo, tmp_path):
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    image.save(tmp_path / "page.tif", icc_profile=b"profile", tiffinfo={700: b"<x/>"})
    assert embudo("compress", tmp_path / "page.tif", "-o", tmp_path / "page.emb", "--metadata").status == 0
    assert embudo("decompress", tmp_path / "page.emb", "-o", tmp_path / "again.tif").status == 0
    info = opened(tmp_path / "again.tif").info
    assert (info["xmp"], info["icc_profile"]) == (b"<x/>", b"profile")


def test_comparison_and_picture(embudo, pictures, tmp_path):
    args = ("--bpp", 1, "--compare", "--json", "--pictures", tmp_path / "seen")
    out = embudo("compress", pictures / "flower.png", "-o", tmp_path / "f.emb", *args).out
    (row,) = json.loads(out)["images"]
    assert row["bits_per_pixel"] <= 1
    assert row["bytes_JPEG"] <= row["bytes"]
    assert row["psnr_JPEG"] > 20
    assert 0.5 < row["ms_ssim_JPEG"] < 1
    with Image.open(tmp_path / "seen" / "f.png") as picture:
        assert picture.width > 1000
    table = embudo("compress", pictures / "flower.png", "-o", tmp_path / "f.emb", "--compare").out
    for title in ("PSNR", "MS-SSIM"):
        assert f"{title} at no more bytes" in table
    assert all(len(line) <= 80 for line in table.splitlines())


def test_small_images_have_no_column_of_what_is_not_measured(embudo, tmp_path):
    Image.fromarray(load_sample_images().images[0][:64, :64]).save(tmp_path / "small.png")
    table = embudo("compress", tmp_path / "small.png", "--compare").out
    assert "PSNR at no more bytes" in table
    assert "MS-SSIM" not in table


def test_several_images_in_one_file(embudo, tmp_path):
    images = (load_digits().images[:20] * 15).astype(np.uint8)
    (tmp_path / "digits").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "digits" / f"{i:02}.png")
    one, apart = tmp_path / "all.emb", tmp_path / "apart"
    args = ("compress", tmp_path / "digits", "--quality", 70, "--json")
    (row,) = json.loads(embudo(*args, "--together", "-o", one).out)["images"]
    assert row["bytes"] == one.stat().st_size
    assert row["bits_per_pixel"] == pytest.approx(8 * row["bytes"] / images.size)
    rows = json.loads(embudo(*args, "-o", apart).out)["images"]
    assert row["bytes"] < 0.95 * sum(single["bytes"] for single in rows)
    assert embudo("decompress", one, "-o", tmp_path / "back.png").status == 0
    decoded = [np.asarray(opened(tmp_path / f"back-{i:04}.png")) for i in range(20)]
    each = [psnr(image[..., None], found[..., None]) for image, found in zip(images, decoded, strict=True)]
    assert row["psnr"] == pytest.approx(np.mean(each), abs=1e-6)


def test_a_codec_of_ones_own(embudo, pictures, tmp_path):
    mine = tmp_path / "mine.safetensors"
    options = ("--method", "linear", "--block", 8, "--validation-fraction", 0.4)
    outcome = embudo("train-codec", pictures, "-o", mine, *options)
    assert outcome.status == 0, outcome.err
    codec = ImageCodec.load(mine)
    assert codec.model_id_ in outcome.out
    assert len(codec.history_["psnr"]) > 3
    assert json.loads(embudo("info", mine, "--json").out)["block"] == 8

    target = tmp_path / "f.emb"
    assert embudo("compress", pictures / "flower.png", "-o", target, "--model", mine).status == 0
    wrong = embudo("decompress", target, "-o", tmp_path / "f.png")
    assert wrong.status == 1
    assert codec.model_id_ in wrong.err
    assert not (tmp_path / "f.png").exists()
    assert embudo("decompress", target, "-o", tmp_path / "f.webp", "--model", mine).status == 0
    assert opened(tmp_path / "f.webp").format == "WEBP"


#: name: (arguments, exit status, part of the line); {p}: folder of pictures, {o}: for output
CASES = {
    "no input": ("compress -o {o}/a.emb", 2, "Missing argument"),
    "missing": ("compress {p}/chna.png -o {o}/a.emb", 1, "No such file"),
    "several into one": ("compress {p} -o {o}/a.emb", 2, "name a folder"),
    "together without a file": ("compress {p} --together", 2, "--output"),
    "together of all sizes": ("compress {p} -o {o}/a.emb --together", 1, "one size"),
    "bad quality": ("compress {p}/china.png -o {o}/a.emb --quality 101", 2, "1 to 100"),
    "too small": ("compress {p}/china.png -o {o}/a.emb --max-bytes 10", 2, "the least is"),
    "ending": ("compress {p}/china.png -o {o}/a.jpg", 2, ".emb"),
    "not an image": ("compress {o}/text.emb -o {o}/b.emb", 1, "neither an image"),
    "not a codec": ("compress {p}/china.png -o {o}/a.emb --model {p}/flower.png", 1, "model file"),
    "not compressed": ("decompress {p}/china.png -o {o}/a.png", 1, "not an .emb file"),
    "damaged": ("decompress {o}/text.emb -o {o}/a.png", 1, "text.emb"),
    "format": ("decompress {o}/good.emb -o {o}/a.xyz", 2, ".png"),
    "folder without": ("decompress {p} -o {o}/out", 1, "no .emb file"),
    "block": ("train-codec {p} -o {o}/m.safetensors --block 5", 2, "ImageCodec.block"),
    "another block": ("train-codec {p} -o {o}/m.safetensors --block 8", 2, "finetune"),
    "method": ("train-codec {p} -o {o}/m.safetensors --method lineal", 2, "did you mean 'linear'"),
    "codec ending": ("train-codec {p} -o {o}/m.pt", 2, ".safetensors"),
    "info": ("info {o}/text.emb", 1, "not an .emb file"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_call_is_answered_in_one_line(refused, pictures, tmp_path, case):
    args, status, words = CASES[case]
    (tmp_path / "text.emb").write_text("no image")
    image = np.asarray(opened(pictures / "china.png"))[:20, :20]
    (tmp_path / "good.emb").write_bytes(ImageCodec.pretrained().encode(image))
    refused((word.format(p=pictures, o=tmp_path) for word in args.split()), status, words)
