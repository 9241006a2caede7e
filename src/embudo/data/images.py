"""Images, as arrays of shape (height, width, channels) and type uint8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from embudo.errors import EmbudoError, FileFormatError, InvalidData, check_choice, check_number, reason

SAMPLES = {".npy", ".npz", ".csv", ".tsv", ".parquet", ".idx"}  #: endings of files that hold no image
COLORS = ("auto", "grey", "rgb")
#: formats for which Pillow runs other programs, or only has a place for somebody else's decoder
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


def n_colours(channels: int) -> int:
    """Return how many of an image's channels are colours: of 2 or 4 the last is transparency."""
    return channels - (channels % 2 == 0)


def refuse_name(image: Any) -> None:
    """Refuse the name of a file where an image is expected.

    Raises
    ------
    InvalidData
    """
    if isinstance(image, str | Path):
        raise InvalidData(f"An image is an array, not the name of a file: pass PIL.Image.open({str(image)!r}).")


def channels_last(shape: tuple[int, ...]) -> str:
    """Return the sentence end that mends an image whose channels come first, or an empty string."""
    first = len(shape) == 3 and shape[0] in (1, 3, 4)
    return "; where channels come first, pass image.transpose(1, 2, 0)" if first else ""


def image_endings() -> set[str]:
    """Return the endings of files that are read as images, such as ".png"."""
    formats = _formats()
    return {ending for ending, kind in Image.registered_extensions().items() if kind in formats}


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder` and the folders in it, sorted, by the endings that Pillow reads.

    Hidden files are left out.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    endings = image_endings()
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise FileFormatError(f"'{folder}' holds no image that can be read, such as a .png or .jpg file.")
    return files


def read_image(path: Path, color: str = "auto", *, alpha: bool = False) -> np.ndarray:
    """Read one image, upright as its EXIF orientation says; of several frames, the first.

    Parameters
    ----------
    path : Path
    color : {"auto", "grey", "rgb"}, default="auto"
        "auto" is grey for images stored without colours; 16 bits become 8.
    alpha : bool, default=False
        Whether transparency, where there is some, is kept as one more channel.

    Returns
    -------
    ndarray of shape (height, width, 1 or 3, or one more for transparency), uint8

    Raises
    ------
    FileFormatError
        If the file is not an image, or is truncated.
    """
    check_choice("image_color", color, COLORS)
    try:
        with Image.open(path, formats=_formats()) as opened:
            image = ImageOps.exif_transpose(opened)
        grey = _becomes_grey(image, color)
        if image.mode[0] == "I":
            image = _eight_bits(path, np.asarray(image))
        elif image.mode == "F":
            raise FileFormatError(f"The pixels of '{path}' are floating-point: convert it to 8 or 16 bits.")
        elif "transparency" in image.info:
            image = image.convert("RGBA")
        mode = ("L" if grey else "RGB") + ("A" if alpha and image.has_transparency_data else "")
        pixels = np.asarray(image.convert(mode))
    except EmbudoError:
        raise
    except UnidentifiedImageError:
        if path.suffix.lower() in SAMPLES:
            raise FileFormatError(f"'{path}' holds samples, not an image.") from None
        raise FileFormatError(
            f"'{path}' is neither an image that can be read nor a .npy, .npz, .csv, .tsv, .parquet or .idx file."
        ) from None
    except Exception as error:  # each decoder has errors of its own
        raise FileFormatError(f"Cannot read the image '{path}': {reason(error)}.") from None
    return pixels.reshape(*pixels.shape[:2], -1)


def read_resized(path: Path, size: tuple[int, int] | None, color: str = "auto") -> np.ndarray:
    """Read one image, as `read_image` does, and bring it to a height and width, where they are given."""
    return _resized(read_image(path, color), size)


def shape_of(path: Path, color: str = "auto") -> tuple[int, int, int]:
    """Return height, width and channels that `read_image` gives, from the head of the file.

    Raises
    ------
    FileFormatError
        If the file is not an image.
    """
    check_choice("image_color", color, COLORS)
    try:
        with Image.open(path, formats=_formats()) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation, 1) > 4:  # a quarter turn
                width, height = height, width
            return height, width, 1 if _becomes_grey(image, color) else 3
    except Exception as error:  # each decoder has errors of its own
        raise FileFormatError(f"Cannot read the image '{path}': {reason(error)}.") from None


def read_metadata(path: Path) -> dict[str, bytes]:
    """Return what an image file holds beside its pixels: "icc", "exif" and "xmp", those that are there.

    The orientation is left out, as `read_image` has turned the pixels.
    """
    with Image.open(path, formats=_formats()) as opened:
        info = ImageOps.exif_transpose(opened).info
    found = {"icc": info.get("icc_profile"), "exif": info.get("exif"), "xmp": info.get("xmp")}
    return {kind: data for kind, data in found.items() if isinstance(data, bytes) and data}


def read_images(path: Path, size: tuple[int, int] | None = None, color: str = "auto") -> np.ndarray:
    """Read an image or a folder of images into one array.

    Parameters
    ----------
    path : Path
    size : (int, int), optional
        Height and width to bring every image to; without it they must all be of one size.
    color : {"auto", "grey", "rgb"}, default="auto"
        "auto" is grey where all images are.

    Returns
    -------
    ndarray of shape (n, height, width, channels), uint8

    Raises
    ------
    FileFormatError
        If there is no image, or one cannot be read.
    InvalidData
        If the images differ in size and `size` is not given.
    """
    for length in size or ():
        check_number("A number in image_size", length, low=1, integer=True)
    files = list_images(path) if path.is_dir() else [path]
    images = [read_resized(file, size, color) for file in files]
    shapes = sorted({image.shape[:2] for image in images})
    if len(shapes) > 1:
        (h1, w1), (h2, w2) = shapes[:2]
        raise InvalidData(
            f"The images in '{path}' differ in size (for example {h1}x{w1} and {h2}x{w2}): "
            "give an image size, height x width, to bring them to."
        )
    channels = max(image.shape[2] for image in images)
    return np.stack([np.broadcast_to(image, (*image.shape[:2], channels)) for image in images])


def _becomes_grey(image: Image.Image, color: str) -> bool:
    return color == "grey" or (color == "auto" and image.mode[0] in "1LI" and image.mode != "LAB")


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.OPEN if name not in _NOT_READ]


def _eight_bits(path: Path, pixels: np.ndarray) -> Image.Image:
    if pixels.min() < 0 or pixels.max() >= 2**16:
        raise FileFormatError(f"The pixels of '{path}' have more than 16 bits: convert it to 8 or 16 bits.")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _resized(pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or pixels.shape[:2] == tuple(size):
        return pixels
    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))
    return resized.reshape(*size, -1)
