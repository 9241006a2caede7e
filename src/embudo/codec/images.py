"""Images on their way into and out of a codec: arrays and folders, alpha and metadata."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from embudo.codec.container import CHUNKS, Container, deflate, inflate, inflate_blocks
from embudo.data.images import channels_last, list_images, n_colours, read_image, refuse_name
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, check_choice, reason

MAX_METADATA = 2**24  #: bytes of a kind, unpacked
XMP_TAG = 700  #: of TIFF files
STRIPE = 64  #: rows of an alpha channel that are packed and unpacked at once
LOSSY_QUALITY = 95  #: of images that are written to JPEG, WebP and AVIF files


def as_frames(image: Any) -> np.ndarray:
    """Return one image or several as an array of shape (n, height, width, channels).

    Raises
    ------
    InvalidData
        If it is not uint8, not of 1 to 4 channels, or empty.
    """
    refuse_name(image)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        hint = ": where white is 1, pass (255 * image).round().astype('uint8')" if pixels.dtype.kind == "f" else ""
        raise InvalidData(f"Images must be of type uint8, from 0 to 255; got {pixels.dtype}{hint}.")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4 or pixels.shape[3] not in range(1, 5) or not pixels.size:
        raise InvalidData(
            "An image must be of shape (height, width) or (height, width, 1 to 4 channels), several of one size of "
            f"(n, height, width, channels); got {np.shape(image)}{channels_last(np.shape(image))}."
        )
    return pixels


class Images(Sequence[np.ndarray]):
    """Images to learn from, shape (height, width, channels) each; those of files are read when they are needed."""

    def __init__(self, sources: Sequence[Path] | Sequence[np.ndarray]) -> None:
        self.sources = sources
        self.channels = max(self._load(source).shape[2] for source in sources)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, i: Any) -> Any:
        image = self._load(self.sources[i])
        return np.broadcast_to(image, (*image.shape[:2], self.channels))

    @staticmethod
    def _load(source: Path | np.ndarray) -> np.ndarray:
        pixels = read_image(source) if isinstance(source, Path) else as_frames(source)[0]
        return pixels[..., : n_colours(pixels.shape[2])]


def as_images(X: Any) -> Images:
    """Return a folder of images, or a sequence of arrays, as images to learn from; alpha is left out.

    Raises
    ------
    InvalidData
        If there is none.
    """
    if isinstance(X, str | Path):
        path = Path(X)
        return Images(list_images(path) if path.is_dir() else [path])
    if isinstance(X, Images):
        return X
    if isinstance(X, np.ndarray) and X.ndim < 3:
        raise InvalidData("X must be a folder of images, or a sequence of arrays; got one array.")
    if not len(X):
        raise InvalidData("X holds no image.")
    return Images(list(X))


def pack_chunks(alpha: np.ndarray, metadata: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the chunks of a file.

    Parameters
    ----------
    alpha : ndarray of shape (n, height, width, 0 or 1)
    metadata : mapping of str to bytes
        By kind.
    """
    chunks = {}
    if alpha.size:
        chunks["alpha"] = _pack_alpha(alpha)
    for kind, data in metadata.items():
        check_choice("A kind of metadata", kind, CHUNKS[1:])
        if len(data) > MAX_METADATA:
            raise InvalidData(f"The {kind} metadata have {len(data):,} bytes; at most {MAX_METADATA:,} are kept.")
        chunks[kind] = deflate(data)
    return chunks


def _pack_alpha(alpha: np.ndarray) -> bytes:
    """Return the chunk of an alpha channel: the steps from row to row, deflated."""
    packed = zlib.compressobj(9)
    steps = (np.diff(stripe, axis=0, prepend=above).tobytes() for stripe, above in _stripes(alpha))
    return b"".join([*map(packed.compress, steps), packed.flush()])


def unpack_alpha(container: Container, alpha: np.ndarray) -> None:
    """Fill in the alpha channel of a file.

    Parameters
    ----------
    container : Container
    alpha : ndarray of shape (n, height, width, 0 or 1), uint8

    Raises
    ------
    FileFormatError
        If the file has none, or it is damaged.
    """
    if not alpha.size:
        return
    if "alpha" not in container.chunks:
        raise FileFormatError("The .emb file is damaged: it should have an alpha channel, and has none.")
    stripes = list(_stripes(alpha))
    blocks = inflate_blocks(container.chunks["alpha"], [stripe.size for stripe, _ in stripes])
    for (stripe, above), steps in zip(stripes, blocks, strict=True):
        np.cumsum(np.frombuffer(steps, np.uint8).reshape(stripe.shape), axis=0, dtype=np.uint8, out=stripe)
        stripe += above


def _stripes(alpha: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield stripes of each frame, `STRIPE` rows high, and the row above each, zeros for the first."""
    for frame in alpha:
        for top in range(0, len(frame), STRIPE):
            yield frame[top : top + STRIPE], frame[top - 1 : top] if top else np.zeros_like(frame[:1])


def unpack_metadata(container: Container) -> dict[str, bytes]:
    """Return what a file keeps beside the pixels, by kind."""
    return {kind: inflate(chunk, MAX_METADATA) for kind, chunk in container.chunks.items() if kind != "alpha"}


def image_bytes(pixels: np.ndarray, ending: str, metadata: Mapping[str, bytes]) -> bytes:
    """Return the content of an image file of the format that `ending`, such as ".png", stands for.

    Raises
    ------
    InvalidParameter
        If Pillow writes no such format, or it cannot hold the image.
    """
    Image.init()
    kind = Image.registered_extensions().get(ending.lower())
    if kind not in Image.SAVE:
        raise InvalidParameter(f"No image format is written to files that end in '{ending}': use .png.")
    options: dict[str, Any] = {"quality": LOSSY_QUALITY} if kind in {"JPEG", "WEBP", "AVIF"} else {}
    if "icc" in metadata:
        options["icc_profile"] = metadata["icc"]
    if "exif" in metadata:
        options["exif"] = metadata["exif"]
    if "xmp" in metadata and kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata["xmp"].decode("utf-8", "replace"))
    elif "xmp" in metadata and kind == "TIFF":
        options["tiffinfo"] = {XMP_TAG: metadata["xmp"]}
    elif "xmp" in metadata:
        options["xmp"] = metadata["xmp"]
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(buffer, kind, **options)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidParameter(f"Cannot write this image as {kind}: {reason(error)}.") from None
    return buffer.getvalue()
