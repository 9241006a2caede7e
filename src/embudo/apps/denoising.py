"""Noise taken out of images by a convolutional autoencoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from embudo.apps.export import denoiser_graph
from embudo.apps.noises import HIGHEST, NOISES, Denoising
from embudo.apps.pictures import WHITE, check_range, checked, held_out, paired
from embudo.data.images import n_colours
from embudo.data.patches import Patches, as_tensor
from embudo.engine.fitting import make_step, run
from embudo.engine.history import History
from embudo.engine.objective import CorruptionFunction
from embudo.engine.runtime import resolve_runtime
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, check_choice, check_number
from embudo.models.export import Exportable, Graph
from embudo.nn.denoising import DenoisingNetwork
from embudo.nn.layers import initialise
from embudo.parts.corruptions import Corruption
from embudo.parts.optimizers import Adam
from embudo.parts.training import Training

METHODS = ("finetune", "scratch")
#: by channels of the images: name, and channels of the feature maps at each level
KINDS = {1: ("grey", (48, 64, 96)), 3: ("colour", (64, 80, 96))}
N_BLOCKS = 2
PATCHES = 2000  #: an epoch has so many
#: ways to look at an image: quarter turns, and whether it is mirrored then; the first 1, 2, 4 or 8 are used
VIEWS = ((0, False), (1, True), (2, False), (3, True), (0, True), (1, False), (2, True), (3, False))
WINDOW = 1024  #: pixels on the side of what is denoised at once, margins included


class ImageDenoiser(Exportable):
    """Images without their noise, by a convolutional autoencoder with paths from encoder to decoder.

    The network finds the noise, which is then taken away (Zhang, Zuo, Chen, Meng and Zhang 2017, Beyond a Gaussian
    denoiser). It is told the level of the noise, or does without.

    `ImageDenoiser.pretrained()` takes out Gaussian noise, grey and in colour. `fit` learns any other, and goes on from
    there: from clean images, to which it adds noise of a kind afresh in each step, or from measured pairs.

    Parameters
    ----------
    noise : {"gaussian", "poisson", "salt_and_pepper", "jpeg"}, Corruption or callable, default="gaussian"
        What is learnt to be taken out, at all levels at once. A callable is given clean patches, a tensor of shape
        (n, channels, height, width) from 0 to 1, and a ``torch.Generator``, and returns noisy ones.
    method : {"finetune", "scratch"}, default="finetune"
        Whether `fit` begins with the weights that come with the package, or with random ones.
    patch_size : int, default=64
        Pixels on the side of the patches that are learnt from; a multiple of 8.
    training : Training, optional
        How the network is trained; an epoch has 2000 patches. None is
        ``Training(10, batch_size=8, optimizer=Adam(3e-4), schedule="warmup_cosine")``.
    random_state : int, RandomState or None, default=None
        Decides patches, noise and first weights.

    Attributes
    ----------
    module_ : nn.ModuleDict
        The networks, in torch: "grey", "colour", or both.
    history_ : dict of lists
        A row for each epoch of the training.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_sample_image
    >>> from embudo import ImageDenoiser
    >>> from embudo.metrics.reconstruction import psnr
    >>> clean = load_sample_image("flower.jpg")[:128, :128] / 255
    >>> noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    >>> denoised = ImageDenoiser.pretrained().denoise(noisy)
    >>> denoised.shape, psnr(clean, denoised, peak=1) > psnr(clean, noisy, peak=1) + 8
    ((128, 128, 3), True)
    """

    _default_parts = MappingProxyType(
        {"training": Training(10, batch_size=8, optimizer=Adam(3e-4), schedule="warmup_cosine")}
    )
    _takes_rows = False
    module_: nn.ModuleDict
    channels_: tuple[int, ...]
    told_: bool  #: whether the network can be told the level of the noise

    def __init__(
        self,
        noise: str | Corruption | CorruptionFunction = "gaussian",
        *,
        method: str = "finetune",
        patch_size: int = 64,
        training: Training | None = None,
        random_state: Any = None,
    ) -> None:
        self.noise = noise
        self.method = method
        self.patch_size = patch_size
        self.training = training
        self.random_state = random_state

    @classmethod
    def pretrained(cls) -> ImageDenoiser:
        """Return the denoiser that comes with the package: Gaussian noise of any level, grey and in colour."""
        denoiser, other = (cls.load(path) for path in _shipped())
        denoiser.channels_ = (1, 3)
        denoiser.module_["colour"] = other.module_["colour"]
        return denoiser

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, *, X_clean: Any = None, X_val: Any = None) -> Self:
        """Learn from images.

        Parameters
        ----------
        X : path, or sequence of ndarray of shape (height, width[, channels])
            A folder of images, or images of any sizes, uint8 or floats from 0 to 1; all of them are held in memory.
            Those of a folder are in colour where one of them is. Transparency is left out.
        y : None
            Not used.
        X_clean : like X, optional
            What shall come out for each image of X, of the same size: measured pairs. Then `noise` is not used. None
            is X itself, and the noise is added.
        X_val : pair (X, X_clean), optional
            Noisy and clean images that are not learnt from, measured after each epoch.

        Raises
        ------
        InvalidData
            If there is no image, or those of a pair differ in size.
        InvalidParameter
        """
        self._check_parameters()
        self.training_ = training = self._part("training", Training)
        self._check_patience(training, validated=X_val is not None)
        self._check_repeatable(training)
        self.seed_ = self._draw_seed()
        images, targets = paired(X, X_clean)
        channels = images[0].shape[2]
        runtime = resolve_runtime(training)
        network = self._first_network(channels).to(runtime.device, runtime.dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as convolutions are fastest
        objective = Denoising(network, self.noise if X_clean is None else None, seed=self.seed_)
        step = make_step(objective, training, runtime)
        batch_size = 8 if training.batch_size == "auto" else int(training.batch_size)
        batches = Patches(
            images, targets, size=self.patch_size, batch_size=batch_size, n_samples=PATCHES, seed=self.seed_
        )
        self.history_: History = {}
        self.channels_, self.module_ = (channels,), nn.ModuleDict({KINDS[channels][0]: network})
        self.told_ = X_clean is None and self.noise == "gaussian"
        self._completed = run(
            step,
            batches,
            training,
            self.history_,
            validation=None if X_val is None else held_out(X_val, channels, network.multiple),
            recipe=self._recipe(),
        )
        self._load_weights(_as_saved(self.module_), str(runtime.device))
        return self

    def _check_parameters(self) -> None:
        if isinstance(self.noise, str):
            check_choice("ImageDenoiser.noise", self.noise, NOISES)
        elif not callable(self.noise):
            raise InvalidParameter(
                f"ImageDenoiser.noise must be one of {', '.join(map(repr, NOISES))}, a part such as "
                f"GaussianNoise(0.1), or a function; got {self.noise!r}."
            )
        check_choice("ImageDenoiser.method", self.method, METHODS)
        check_number("ImageDenoiser.patch_size", self.patch_size, low=8, integer=True)
        if self.patch_size % 8:
            raise InvalidParameter(f"ImageDenoiser.patch_size must be a multiple of 8; got {self.patch_size}.")
        if self.training is not None and self.training.validation_fraction:
            raise InvalidParameter(
                "Training.validation_fraction is not for ImageDenoiser: give fit noisy and clean images that are not "
                "learnt from, X_val=(X, X_clean)."
            )

    def _first_network(self, channels: int) -> DenoisingNetwork:
        """Return the network that a training begins with."""
        _, widths = KINDS[channels]
        if self.method == "finetune":
            return self.pretrained()._network(channels)
        network = DenoisingNetwork(channels, widths, N_BLOCKS)
        initialise(network, torch.Generator().manual_seed(self.seed_))
        return network

    def _network(self, channels: int) -> DenoisingNetwork:
        """Return the network for images of so many channels."""
        network: Any = self.module_[KINDS[channels][0]]
        return cast(DenoisingNetwork, network)

    def _build_network(self) -> nn.ModuleDict:  # type: ignore[override]
        kinds = ((channels, *KINDS[channels]) for channels in self.channels_)
        return nn.ModuleDict({name: DenoisingNetwork(n, widths, N_BLOCKS) for n, name, widths in kinds})

    # ------------------------------------------------------------------ denoising

    def denoise(
        self, image: Any, sigma: float | None = None, *, data_range: float | None = None, n_views: int = 4
    ) -> np.ndarray:
        """Take the noise out of an image.

        Parameters
        ----------
        image : ndarray of shape (height, width) or (height, width, channels)
            1 channel is grey, 2 are grey and alpha, 3 RGB, 4 RGB and alpha. Alpha is kept as it is. Noise may have
            brought floats below black and above white.
        sigma : float, optional
            Standard deviation of Gaussian noise, in units of the pixels. None lets the network see for itself.
        data_range : float, optional
            White; black is 0. None is 255 for uint8, 65535 for uint16, and 1 for floats.
        n_views : {4, 1, 2, 8}, default=4
            How often the network looks at the image, turned and mirrored each time another way; the mean is what comes
            out (Timofte, Rothe and Van Gool 2016, Seven ways to improve example-based single image super resolution).
            1 is the quickest.

        Returns
        -------
        ndarray of the shape and type of `image`
            From black to white.

        Raises
        ------
        InvalidData
            If the image is not one, or has values that are not finite, or floats far from black and white.
        InvalidParameter
            If `sigma`, `data_range` or `n_views` is not allowed; `sigma` is only where "gaussian" noise was learnt.
        """
        check_is_fitted(self)
        pixels = checked(image)
        if data_range is not None:
            check_number("data_range", data_range, low=0, open_low=True)
        if n_views not in (1, 2, 4, 8):
            raise InvalidParameter(f"n_views must be 1, 2, 4 or 8; got {n_views!r}.")
        white = WHITE[pixels.dtype.name] if data_range is None else data_range
        if sigma is not None:
            check_number("sigma", sigma, low=0)
            if not self.told_:
                raise InvalidParameter(
                    "sigma is the level of Gaussian noise, and this denoiser was fitted on other noise: leave it out."
                )
        maps = pixels.reshape(*pixels.shape[:2], -1)
        colours = n_colours(maps.shape[2])
        out = maps.copy()
        if sigma != 0:
            check_range(maps[..., :colours], white)
            relative = None if sigma is None else sigma / white
            self._fill(out[..., :colours], maps[..., :colours], white, relative, VIEWS[:n_views])
        return out.reshape(pixels.shape)

    @torch.inference_mode()
    def _fill(
        self, out: np.ndarray, maps: np.ndarray, white: float, sigma: float | None, views: Sequence[tuple[int, bool]]
    ) -> None:
        """Denoise maps a window at a time, with margins as wide as the network reaches: there are no seams."""
        n = maps.shape[2]
        network = self._network(n if n in self.channels_ else self.channels_[0])
        place = next(network.parameters())
        # noise stronger than the network has seen becomes as strong by a darker image
        gain = min(1.0, HIGHEST / sigma) if sigma else 1.0
        for core, window in windows(maps.shape[:2], network.reach, network.multiple):
            part = _whole_blocks(maps[window].astype(np.float32), network.multiple) * np.float32(gain / white)
            x = _with_channels(as_tensor(part[None]).to(place), network.channels)
            told = x.new_full((len(x),), gain * (sigma or 0))
            y = torch.stack([_back(network(_turned(x, view), told), view) for view in views]).mean(dim=0)
            found = white * (y.permute(2, 3, 0, 1).flatten(2).cpu().numpy() / gain).clip(0, 1)
            rows, columns = (slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
            found = found[rows, columns] if n == 3 else found[rows, columns].mean(axis=2, keepdims=True)
            out[core] = found if out.dtype.kind == "f" else np.rint(found)

    # ------------------------------------------------------------------ files and exports

    @property
    def _graphs(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(KINDS[channels][0] for channels in self.channels_)

    def _graph(self, part: str) -> Graph:
        return denoiser_graph(self, next(channels for channels, (name, _) in KINDS.items() if name == part))

    def _random_samples(self) -> np.ndarray:
        return np.random.default_rng(0).random((3, 41, 52, 3))

    def _given_samples(self, X: Any) -> np.ndarray:
        images, _ = paired(X, None)
        if len({image.shape for image in images}) > 1:
            raise InvalidData("The images to compare on must be of one size.")
        pixels = np.stack(images)
        return pixels / (255 if pixels.dtype == np.uint8 else 1)

    @classmethod
    def load(cls, path: str | Path) -> ImageDenoiser:
        """Read a denoiser that `save` wrote, as `embudo.load` does.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, or not a denoiser.
        """
        from embudo.models.persistence import load

        denoiser = load(path)
        if not isinstance(denoiser, cls):
            raise FileFormatError(f"'{path}' holds a model of class {type(denoiser).__name__}, not an ImageDenoiser.")
        return denoiser

    def _learnt(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        halves = {name: weight.cpu().half().contiguous() for name, weight in self.module_.state_dict().items()}
        return {"channels": list(self.channels_), "told": self.told_}, halves

    def _relearn(self, card: dict[str, Any], tensors: dict[str, Tensor], inner: dict[str, Any], device: str) -> None:
        self.channels_, self.told_ = tuple(card["channels"]), bool(card["told"])
        if self.channels_ not in ((1,), (3,), (1, 3)):
            raise ValueError("it is for images of neither 1 nor 3 channels")
        if not all(bool(weight.isfinite().all()) for weight in tensors.values()):
            raise ValueError("a weight is not finite")
        self.training_ = self._part("training", Training)
        self._load_weights({name: weight.float() for name, weight in tensors.items()}, device)


def _shipped() -> Sequence[Path]:
    return [Path(__file__).with_name(f"denoiser_{name}.safetensors") for name, _ in KINDS.values()]


def _with_channels(x: Tensor, channels: int) -> Tensor:
    """Return an image for a network of so many channels: grey thrice for a network of colour, or colours one by one."""
    if x.shape[1] == channels:
        return x
    return x.expand(-1, 3, -1, -1) if channels == 3 else x.transpose(0, 1)


def _turned(x: Tensor, view: tuple[int, bool]) -> Tensor:
    turns, mirrored = view
    x = torch.rot90(x, turns, (2, 3))
    return x.flip(3) if mirrored else x


def _back(x: Tensor, view: tuple[int, bool]) -> Tensor:
    turns, mirrored = view
    return torch.rot90(x.flip(3) if mirrored else x, -turns, (2, 3))


def windows(
    shape: tuple[int, ...], reach: int, multiple: int
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield the parts of an image, and around each the window that what comes out there depends on."""
    margin = -(-reach // multiple) * multiple
    cuts = []
    for length in shape:
        step = length if length <= WINDOW else WINDOW - 2 * margin
        starts = range(0, length, step)
        cuts.append(
            [
                (
                    slice(start, min(start + step, length)),
                    slice(max(0, start - margin), min(start + step + margin, length)),
                )
                for start in starts
            ]
        )
    for core_rows, window_rows in cuts[0]:
        for core_columns, window_columns in cuts[1]:
            yield (core_rows, core_columns), (window_rows, window_columns)


def _whole_blocks(x: np.ndarray, multiple: int) -> np.ndarray:
    """Continue an image by reflection, to a height and width that `multiple` divides."""
    missing = [-length % multiple for length in x.shape[:2]]
    return np.pad(x, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")


def _as_saved(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights as a file will hold them."""
    return {name: weight.detach().cpu().half().float().contiguous() for name, weight in module.state_dict().items()}
