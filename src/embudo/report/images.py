"""What became of photographs: noise taken out, and quality against size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from embudo.errors import InvalidData, InvalidParameter, check_number
from embudo.report.display import LINES, Display, painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embudo.apps.denoising import ImageDenoiser
    from embudo.codec.image_codec import ImageCodec

GAP = 0.02  #: between images, as a share of their width
PEER_QUALITIES = (10, 25, 40, 55, 70, 80, 90, 95)


class DenoisingDisplay(Display):
    """A noisy image, what a denoiser makes of it, and the clean one where it is known, with PSNR.

    Parameters
    ----------
    images : dict of str to ndarray of shape (height, width[, 3])
        "noisy", "denoised", and, where it is known, "clean".
    white : float, default=1
        Value of white; black is 0.

    Attributes
    ----------
    psnr : dict of str to float
        Of the noisy image and the denoised one, in decibels; empty where the clean one is not known.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_image
    >>> from embudo import ImageDenoiser
    >>> from embudo.report import DenoisingDisplay
    >>> clean = load_sample_image("flower.jpg")[:96, :128]
    >>> display = DenoisingDisplay.from_estimator(ImageDenoiser.pretrained(), clean, sigma=25)
    >>> display.psnr["denoised"] > display.psnr["noisy"] + 8
    True
    """

    def __init__(self, images: dict[str, np.ndarray], *, white: float = 1.0) -> None:
        from embudo.metrics.reconstruction import psnr

        self.images, self.white = images, white
        self.psnr = (
            {name: psnr(images["clean"], images[name], white) for name in ("noisy", "denoised")}
            if "clean" in images
            else {}
        )

    @classmethod
    def from_estimator(
        cls,
        denoiser: ImageDenoiser,
        clean: Any,
        *,
        sigma: float,
        told: bool = False,
        random_state: int = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Add Gaussian noise to a clean image, take it out again, and draw.

        Parameters
        ----------
        denoiser : ImageDenoiser
            Fitted, or pretrained.
        clean : ndarray of shape (height, width[, channels]), uint8 or floats from 0 to 1
        sigma : float
            Standard deviation of the noise, in units of the pixels.
        told : bool, default=False
            Whether the denoiser is told `sigma`.
        random_state : int, default=0
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        """
        check_number("sigma", sigma, low=0)
        clean = np.asarray(clean)
        white = 255.0 if clean.dtype == np.uint8 else 1.0
        pixels = clean / white
        noisy = pixels + np.random.default_rng(random_state).normal(0, sigma / white, pixels.shape)
        denoised = denoiser.denoise(noisy, sigma / white if told else None)
        return cls({"noisy": noisy, "denoised": denoised, "clean": pixels}).plot(ax)

    @classmethod
    def from_predictions(cls, noisy: Any, denoised: Any, clean: Any = None, *, ax: Axes | None = None) -> Self:
        """Draw images, uint8 or floats from 0 to 1, of one size; the clean one where it is known.

        Raises
        ------
        InvalidData
            If their shapes differ.
        """
        given = {"noisy": noisy, "denoised": denoised, "clean": clean}
        images = {name: np.asarray(image) for name, image in given.items() if image is not None}
        shapes = {image.shape for image in images.values()}
        if len(shapes) > 1:
            raise InvalidData(f"The images must be of one shape; got {', '.join(map(str, sorted(shapes)))}.")
        scaled = {name: image / (255.0 if image.dtype == np.uint8 else 1.0) for name, image in images.items()}
        return cls(scaled).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes, side by side."""
        height, width = next(iter(self.images.values())).shape[:2]
        gap = max(1, round(GAP * width))
        parts = []
        for image in self.images.values():
            colours = image if image.ndim == 3 else image[..., np.newaxis]
            parts += [painted(colours[np.newaxis], 0, self.white)[0], np.ones((height, gap, 4))]
        n = len(self.images)
        ax = self._begin(ax, (4 * n, 0.4 + 4 * height / width))
        ax.imshow(np.clip(np.concatenate(parts[:-1], axis=1), 0, 1), interpolation="antialiased")
        ax.set_axis_off()
        for number, name in enumerate(self.images):
            found = f", {self.psnr[name]:.2f} dB" if name in self.psnr else ""
            ax.text(number * (width + gap) + width / 2, -0.02 * height, name + found, ha="center", va="bottom")
        return self


class RateDistortionDisplay(Display):
    """Quality against size: PSNR over bits a pixel of whole files, at several qualities.

    Parameters
    ----------
    curves : dict of str to dict
        "bits_per_pixel" and "psnr", lists of equal length, by the name of the format.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from embudo import ImageCodec
    >>> from embudo.report import RateDistortionDisplay
    >>> china, flower = (image[:128, :128] for image in load_sample_images().images)
    >>> codec = ImageCodec(block=8, method="linear").fit([flower])
    >>> list(RateDistortionDisplay.from_estimator(codec, [china], peers=("JPEG",)).curves)
    ['embudo', 'JPEG']
    """

    def __init__(self, curves: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        self.curves = curves

    @classmethod
    def from_estimator(
        cls, codec: ImageCodec, X: Any = None, *, peers: Sequence[str] = (), ax: Axes | None = None
    ) -> Self:
        """Measure a codec, and draw.

        Parameters
        ----------
        codec : ImageCodec
            Fitted.
        X : folder or sequence of ndarray of shape (height, width[, channels]), optional
            Images to measure. None draws what `fit` has measured on its X_val.
        peers : sequence of str, default=()
            Other formats to measure on X too, such as "JPEG", "WebP", "AVIF".
        ax : matplotlib.axes.Axes, optional
            New ones by default.

        Raises
        ------
        InvalidData
            If there are no images, and `fit` had no X_val.
        InvalidParameter
            If a format is not available.
        """
        from sklearn.utils.validation import check_is_fitted

        from embudo.codec.images import as_images
        from embudo.codec.learning import rate_distortion
        from embudo.codec.peers import available_peers

        check_is_fitted(codec)
        unknown = [name for name in peers if name not in available_peers()]
        if unknown:
            raise InvalidParameter(f"peers must be some of {', '.join(available_peers())}; got {unknown[0]!r}.")
        if X is None:
            if not codec.history_ or peers:
                raise InvalidData("There are no images to measure: give X, some that the codec has not learnt from.")
            return cls({"embudo": codec.history_}).plot(ax)
        images = as_images(X)
        curves = {"embudo": rate_distortion(codec, images)}
        return cls(curves | {name: _of_peer(name, images) for name in peers}).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on `ax`, or on new axes."""
        ax = self._begin(ax)
        for number, (name, curve) in enumerate(self.curves.items()):
            style: dict[str, Any] = {"color": LINES[number % 7], "marker": "osv^DPX"[number % 7], "markersize": 5}
            ax.plot(curve["bits_per_pixel"], curve["psnr"], label=name, linewidth=1.4 + (number == 0), **style)
        ax.set(xscale="log", xlabel="bits per pixel, whole files", ylabel="PSNR (dB)")
        low, high = ax.get_xlim()
        ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= tick <= high]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.xaxis.set_minor_formatter("")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        return self


def _of_peer(name: str, images: Any) -> dict[str, list[float]]:
    """Return mean bits a pixel and mean PSNR of images in another format, at several qualities."""
    from embudo.codec.peers import encode_peer
    from embudo.metrics.reconstruction import psnr

    points = []
    for quality in PEER_QUALITIES:
        found = [(image, encode_peer(name, np.ascontiguousarray(image), quality)) for image in images]
        sizes = [8 * len(file.data) / (image.shape[0] * image.shape[1]) for image, file in found]
        points.append((np.mean(sizes), np.mean([psnr(image, file.pixels) for image, file in found])))
    rates, decibels = zip(*points, strict=True)
    return {"bits_per_pixel": list(map(float, rates)), "psnr": list(map(float, decibels))}
