"""The path of the data through an autoencoder, station by station, as text and as HTML."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from embudo.models.base import BaseAutoencoder

BOX = "border:1px solid currentColor;border-radius:4px;padding:2px 8px;text-align:center;overflow-wrap:anywhere"
ROW = "display:flex;flex-wrap:wrap;align-items:center;gap:6px;font-family:monospace;font-size:13px;margin:6px 0"


class Station(NamedTuple):
    """Where samples come by: a name, and what it is there."""

    name: str
    text: str


def stations(autoencoder: BaseAutoencoder) -> list[Station]:
    """Return the stations from samples to what they cost, of an autoencoder or a stack, fitted or not.

    Examples
    --------
    >>> from embudo import MLP, Autoencoder, MaskingNoise, TopK
    >>> for name, text in stations(Autoencoder(8, encoder=MLP(64), corruption=MaskingNoise(0.3), sparsity=TopK(2))):
    ...     print(f"{name}: {text}")
    x: samples
    corruption: MaskingNoise(0.3), in training
    encoder: MLP((64,))
    sparsity: TopK(2)
    code: 8 units, identity
    decoder: mirrors the encoder
    x': identity
    cost: squared_error
    """
    size = "samples"
    if hasattr(autoencoder, "n_features_in_"):
        size = _times(autoencoder.sample_shape_) or f"{autoencoder.n_features_in_} features"
    path = [Station("x", size)]
    if autoencoder.corruption is not None:
        path.append(Station("corruption", f"{_named(autoencoder.corruption)}, in training"))
    middle = _levels(autoencoder) if hasattr(autoencoder, "layers") else _halves(autoencoder)
    return [*path, *middle]


def _halves(autoencoder: Any) -> list[Station]:
    encoder, decoder = (getattr(autoencoder, f"{name}_", getattr(autoencoder, name)) for name in ("encoder", "decoder"))
    units = getattr(autoencoder, "n_components_", autoencoder.n_components)
    path = [Station("encoder", "a single layer" if encoder is None else _named(encoder))]
    if autoencoder.sparsity is not None:
        path.append(Station("sparsity", _named(autoencoder.sparsity)))
    size = "half the features" if units is None else f"{units} units"
    mirrored = autoencoder.tied and "the encoder's, transposed"
    return [
        *path,
        Station("code", f"{size}, {autoencoder.code_activation}"),
        Station("decoder", mirrored or ("mirrors the encoder" if decoder is None else _named(decoder))),
        Station("x'", str(autoencoder.output_activation)),
        Station(
            "cost", " + ".join(_named(cost) for cost in (autoencoder.loss, autoencoder.penalty) if cost is not None)
        ),
    ]


def _levels(stack: Any) -> list[Station]:
    levels = dict(getattr(stack, "layers_", None) or stack._estimators())
    up = []
    for name, level in levels.items():
        units = getattr(level, "n_components_", level.n_components)
        up.append(Station(name, "half the units below" if units is None else f"{units} units"))
    return [*up, *(Station(f"{name} back", "decoder") for name in reversed(levels)), Station("x'", "reconstruction")]


def path_html(autoencoder: BaseAutoencoder) -> str:
    """Return the path as a row of boxes in HTML; all text is escaped."""
    boxes = " &rarr; ".join(
        f'<span style="{BOX}"><b>{html.escape(name)}</b><br>{html.escape(text)}</span>'
        for name, text in stations(autoencoder)
    )
    return f'<div class="embudo-path" style="{ROW}">{boxes}</div>'


def _named(part: Any) -> str:
    return part if isinstance(part, str) else str(getattr(part, "__qualname__", None) or repr(part))


def _times(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else " x ".join(map(str, shape))
