"""Networks that stand alone: torch modules that take samples as they are, with scaling and decisions inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

#: offset and scale of each feature, or of all; None where nothing is scaled
Scales = tuple[Tensor, Tensor] | None


class Scaling(nn.Module):
    """`z = (x - offset) / scale`, of samples of any shape, and back.

    Parameters
    ----------
    scales : (Tensor, Tensor) or None
    sample_shape : sequence of int
        What `back` gives samples again.
    """

    offset: Tensor | None
    scale: Tensor | None

    def __init__(self, scales: Scales, sample_shape: Sequence[int]) -> None:
        super().__init__()
        offset, scale = scales or (None, None)
        self.register_buffer("offset", offset)
        self.register_buffer("scale", scale)
        self.sample_shape = tuple(sample_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, *sample_shape)` to `(n, n_features)`."""
        rows = x.flatten(1)
        return rows if self.offset is None or self.scale is None else (rows - self.offset) / self.scale

    def back(self, z: Tensor) -> Tensor:
        """Map `(n, n_features)` to `(n, *sample_shape)`."""
        rows = z if self.offset is None or self.scale is None else z * self.scale + self.offset
        return rows.reshape(-1, *self.sample_shape)


class Standalone(nn.Module):
    """A network with its scaling.

    Parameters
    ----------
    network : nn.Module
        Between scaled samples, and codes or logits.
    scaling : Scaling
    """

    network: Any

    def __init__(self, network: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.network, self.scaling = network, scaling


class Encoder(Standalone):
    """`h = f(x)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes, shape `(n, n_components)`, of samples `(n, *sample_shape)`."""
        code: Tensor = self.network.encode(self.scaling(x))
        return code


class Decoder(Standalone):
    """`x' = g(h)`."""

    def forward(self, code: Tensor) -> Tensor:
        """Return the reconstructions, shape `(n, *sample_shape)`, of codes `(n, n_components)`."""
        return self.scaling.back(self.network.decode(code))


class Reconstructor(Standalone):
    """`x' = g(f(x))`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructions of samples, both of shape `(n, *sample_shape)`."""
        return self.scaling.back(self.network(self.scaling(x)))


class SoftmaxClassifier(Standalone):
    """Probabilities of classes, and the most probable one.

    Parameters
    ----------
    network, scaling
        As of `Standalone`.
    classes : Tensor of shape (n_classes,)
        What stands for each class.
    """

    classes: Tensor

    def __init__(self, network: nn.Module, scaling: Scaling, classes: Tensor) -> None:
        super().__init__(network, scaling)
        self.register_buffer("classes", classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities, shape `(n, n_classes)`, and classes, shape `(n,)`, of samples `(n, *sample_shape)`."""
        logits = self.network(self.scaling(x))
        return logits.softmax(1), self.classes[logits.argmax(1)]


class Detector(nn.Module):
    """Scores of samples, and whether they are anomalies.

    Parameters
    ----------
    judges : sequence of nn.Module
        From samples to errors, shape `(n,)`.
    shares : sequence of float
        What each of them counts.
    threshold : float
        The score below which a sample is an anomaly.
    takes_gaps : bool
        Whether NaN stands for a missing value, for which the error is scaled up. If not, its sample is an anomaly.
    """

    threshold: Tensor

    def __init__(
        self, judges: Sequence[nn.Module], shares: Sequence[float], threshold: Tensor, *, takes_gaps: bool
    ) -> None:
        super().__init__()
        self.judges, self.shares, self.takes_gaps = nn.ModuleList(judges), list(shares), takes_gaps
        self.register_buffer("threshold", threshold)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores, the greater the more normal, and flags, both of shape `(n,)`."""
        errors = torch.stack([share * judge(x) for share, judge in zip(self.shares, self.judges, strict=True)]).sum(0)
        gaps = x.flatten(1).isnan()
        if self.takes_gaps:
            n_known = (~gaps).sum(1).clamp(min=1)
            score = -errors * gaps.shape[1] / n_known
        else:
            score = torch.where(gaps.any(1), torch.nan, -errors)
        return score, ~(score >= self.threshold)


class Denoiser(nn.Module):
    """Images of any size without their noise.

    Parameters
    ----------
    network : DenoisingNetwork
    highest : float
        Standard deviation of the strongest noise that the network may be told; an image of stronger noise is darkened
        until it is as strong.
    """

    network: Any

    def __init__(self, network: nn.Module, highest: float) -> None:
        super().__init__()
        self.network, self.highest = network, highest

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return images without noise, from 0 to 1, of images `(n, height, width, channels)` and levels `(n,)`.

        The level is the standard deviation of the noise; 0 where it is not known.
        """
        _, height, width, _ = x.shape
        gain = (self.highest / sigma).clamp(max=1)
        maps = (x * gain.view(-1, 1, 1, 1)).permute(0, 3, 1, 2)
        whole = maps.index_select(2, self._reflected(height, x)).index_select(3, self._reflected(width, x))
        y = self.network(whole, sigma * gain).permute(0, 2, 3, 1)[:, :height, :width]
        denoised: Tensor = (y / gain.view(-1, 1, 1, 1)).clamp(0, 1)
        return denoised

    def _reflected(self, length: int, x: Tensor) -> Tensor:
        """Return the pixels of a side of which whole blocks are made, the image reflected at its end."""
        block = self.network.multiple
        at = torch.arange((length + block - 1) // block * block, device=x.device)
        at = torch.remainder(at, torch.full_like(at, 2 * length))
        return torch.minimum(at, 2 * length - 1 - at)
