"""Images, as arrays of shape (height, width, channels) and type uint8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from embudo.errors import FileFormatError, InvalidData, check_choice

COLORS = ("auto", "grey", "rgb")
_GREY_MODES = {"1", "L", "LA", "I;16", "I;16B", "I", "F"}


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder` and the folders in it, sorted, by the endings that Pillow knows.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    from PIL import Image

    endings = Image.registered_extensions()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not files:
        raise FileFormatError(f"'{folder}' holds no image that can be read.")
    return files


def read_image(path: Path, color: str = "auto") -> np.ndarray:
    """Read one image, upright as its EXIF orientation says.

    Parameters
    ----------
    path : Path
    color : {"auto", "grey", "rgb"}, default="auto"
        "auto" is grey for images without colour; transparency is dropped; 16 bits become 8.

    Returns
    -------
    ndarray of shape (height, width, 1 or 3), uint8

    Raises
    ------
    FileFormatError
        If the file is not an image, or is truncated.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    check_choice("image_color", color, COLORS)
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            grey = color == "grey" or (color == "auto" and image.mode in _GREY_MODES)
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except UnidentifiedImageError:
        raise FileFormatError(f"'{path}' is not a data file or an image that can be read.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileFormatError(f"Cannot read the image '{path}': {error}.") from None
    return pixels.reshape(*pixels.shape[:2], -1)


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
    files = list_images(path) if path.is_dir() else [path]
    images = [_resized(read_image(file, color), size) for file in files]
    shapes = {image.shape[:2] for image in images}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise InvalidData(
            f"The images in '{path}' differ in size (for example {first[0]}x{first[1]} and {second[0]}x{second[1]}): "
            "give an image size, height x width, to bring them to."
        )
    if len({image.shape[2] for image in images}) > 1:
        images = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in images]
    return np.stack(images)


def _resized(pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or pixels.shape[:2] == tuple(size):
        return pixels
    from PIL import Image

    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))
    return resized.reshape(*size, -1)
