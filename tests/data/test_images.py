"""Images of every kind, as uint8 arrays."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from embudo.data.images import list_images, read_image
from embudo.data.readers import read
from embudo.errors import FileFormatError, InvalidData, InvalidParameter

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def saved(array, path, mode=None, **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "ppm", "tga", "PNG"])
def test_lossless_formats_come_back_exactly(suffix, tmp_path):
    np.testing.assert_array_equal(read(saved(RGB, tmp_path / f"c.{suffix}")), RGB[None])
    np.testing.assert_array_equal(read(saved(GREY, tmp_path / f"g.{suffix}")), GREY[None, ..., None])


@pytest.mark.parametrize(("suffix", "options"), [("webp", {"lossless": True}), ("jpg", {"quality": 100}), ("gif", {})])
def test_other_formats_come_back_closely(suffix, options, tmp_path):
    smooth = np.linspace(0, 255, 12 * 9).reshape(12, 9, 1).repeat(3, axis=2).astype(np.uint8)
    found = read(saved(smooth, tmp_path / f"c.{suffix}", **options))
    assert found.shape == (1, 12, 9, 3)
    assert np.abs(found[0].astype(int) - smooth).max() <= 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_grey_or_rgb_as_asked(mode, tmp_path):
    path = saved(RGB, tmp_path / "x.tiff", mode)
    grey = mode in {"1", "L", "LA"}
    assert read_image(path).shape == (12, 9, 1 if grey else 3)
    assert read_image(path, "grey").shape == (12, 9, 1)
    assert read_image(path, "rgb").shape == (12, 9, 3)
    assert read_image(path).dtype == np.uint8


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_of_16_bits_the_upper_8_are_kept(suffix, tmp_path):
    path = saved(GREY.astype(np.uint16) * 256 + 77, tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(read(path), GREY[None, ..., None])


@pytest.mark.parametrize(
    ("array", "words"), [(GREY.astype("f4"), "are floating-point"), (GREY.astype("i4") * 2**16, "more than 16 bits")]
)
def test_pixels_of_unknown_range_are_refused_not_clipped(array, words, tmp_path):
    with pytest.raises(FileFormatError, match=rf"{words}: convert it to 8 or 16 bits\.$"):
        read(saved(array, tmp_path / "x.tiff"))


@pytest.mark.parametrize(
    ("array", "mode", "transparency"),
    [(RGB, "P", bytes(range(256))), (RGB, "P", 3), (RGB, None, (1, 2, 3)), (GREY, None, 7)],
)
def test_transparency_is_dropped(array, mode, transparency, tmp_path):
    plain = read(saved(array, tmp_path / "a.png", mode))
    np.testing.assert_array_equal(read(saved(array, tmp_path / "b.png", mode, transparency=transparency)), plain)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter, clockwise
    found = read(saved(RGB, tmp_path / "x.tiff", exif=exif))
    np.testing.assert_array_equal(found[0], np.rot90(RGB, -1))


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.fromarray(np.full((5, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read(tmp_path / "x.gif", image_color="grey"), np.full((1, 5, 4, 1), 10))


def test_a_folder_is_read_in_order_with_the_folders_in_it_and_without_other_files(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for value, name in enumerate(["a.png", "b/a.bmp", "b/deep/c.tiff", "c.png"]):
        saved(np.full((2, 2), value, np.uint8), tmp_path / name)
    for name in ["notes.txt", "b/table.csv", "Thumbs.db", "model.h5", "paper.pdf", "._a.png", "movie.mpg"]:
        (tmp_path / name).write_bytes(b"not an image")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "a.bmp", "c.tiff", "c.png"]
    np.testing.assert_array_equal(read(tmp_path)[:, 0, 0, 0], [0, 1, 2, 3])


def test_grey_images_among_coloured_ones_become_coloured(tmp_path):
    saved(GREY, tmp_path / "a.png")
    saved(RGB, tmp_path / "b.png")
    found = read(tmp_path)
    assert found.shape == (2, 12, 9, 3)
    np.testing.assert_array_equal(found[0], GREY[..., None].repeat(3, axis=2))
    assert read(tmp_path, image_color="grey").shape == (2, 12, 9, 1)


def test_images_of_several_sizes_need_a_size_and_are_brought_to_it(tmp_path):
    saved(RGB, tmp_path / "a.png")
    saved(GREY[:6], tmp_path / "b.png")
    with pytest.raises(InvalidData, match=r"differ in size \(for example 6x9 and 12x9\): give an image size.*\.$"):
        read(tmp_path)
    found = read(tmp_path, image_size=(12, 9))
    assert found.shape == (2, 12, 9, 3)
    np.testing.assert_array_equal(found[0], RGB)


@pytest.mark.parametrize("size", [(0, 5), (4, -1), (2.5, 2)])
def test_an_impossible_size_is_refused(size, tmp_path):
    with pytest.raises(InvalidParameter, match="A number in image_size must be an integer at least 1"):
        read(saved(RGB, tmp_path / "a.png"), image_size=size)


def test_an_unknown_colour_is_refused(tmp_path):
    with pytest.raises(InvalidParameter, match=r"image_color must be one of .*got 'gray' \(did you mean 'grey'\?\)"):
        read(saved(RGB, tmp_path / "a.png"), image_color="gray")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(
        FileFormatError, match=r"^'.*' holds no image that can be read, such as a \.png or \.jpg file\.$"
    ):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp"])
def test_a_truncated_image_in_a_folder_is_named_in_one_sentence(suffix, tmp_path):
    saved(RGB, tmp_path / "good.png")
    path = saved(RGB, tmp_path / f"half.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileFormatError) as error:
        read(tmp_path)
    assert f"half.{suffix}" in str(error.value)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_decompression_bomb_is_refused_in_one_sentence(tmp_path):
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(FileFormatError, match=r"^Cannot read the image '.*bomb\.png': Image size .*\.$"):
        read(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GRIB\0\0\0\1", b"", b"hello"]
)
def test_formats_that_need_another_program_are_not_opened_whatever_their_name(content, tmp_path):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"x\.png' is neither an image that can be read nor"):
        read(tmp_path / "x.png")


def test_a_table_is_no_image(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileFormatError, match=r"x\.csv' holds samples, not an image\.$"):
        read_image(tmp_path / "x.csv")
