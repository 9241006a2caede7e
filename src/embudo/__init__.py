"""embudo: autoencoders from small parts that compose.

The names below are imported when first used, so that ``import embudo`` itself costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embudo.apps.classification import AutoencoderClassifier
    from embudo.apps.denoising import ImageDenoiser
    from embudo.apps.detection import AnomalyDetector
    from embudo.codec.image_codec import ImageCodec
    from embudo.models.autoencoder import Autoencoder
    from embudo.models.persistence import load
    from embudo.models.presets import (
        contractive_autoencoder,
        deep_autoencoder,
        denoising_autoencoder,
        k_sparse_autoencoder,
        make_stack,
        map_autoencoder,
        sparse_autoencoder,
        undercomplete_autoencoder,
    )
    from embudo.models.stacked import StackedAutoencoder
    from embudo.parts.architectures import MLP, ConvNet
    from embudo.parts.corruptions import GaussianNoise, MaskingNoise, SaltAndPepper
    from embudo.parts.optimizers import SGD, Adam
    from embudo.parts.penalties import L1, L2, Contractive, KLSparsity, Neighbours
    from embudo.parts.sparsities import BatchTopK, JumpReLU, TopK
    from embudo.parts.training import Training

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "models.autoencoder",
    "AutoencoderClassifier": "apps.classification",
    "AnomalyDetector": "apps.detection",
    "StackedAutoencoder": "models.stacked",
    "ImageDenoiser": "apps.denoising",
    "ImageCodec": "codec.image_codec",
    "load": "models.persistence",
    "contractive_autoencoder": "models.presets",
    "deep_autoencoder": "models.presets",
    "denoising_autoencoder": "models.presets",
    "k_sparse_autoencoder": "models.presets",
    "make_stack": "models.presets",
    "map_autoencoder": "models.presets",
    "sparse_autoencoder": "models.presets",
    "undercomplete_autoencoder": "models.presets",
    "GaussianNoise": "parts.corruptions",
    "MaskingNoise": "parts.corruptions",
    "SaltAndPepper": "parts.corruptions",
    "TopK": "parts.sparsities",
    "BatchTopK": "parts.sparsities",
    "JumpReLU": "parts.sparsities",
    "KLSparsity": "parts.penalties",
    "Contractive": "parts.penalties",
    "Neighbours": "parts.penalties",
    "MLP": "parts.architectures",
    "ConvNet": "parts.architectures",
    "L1": "parts.penalties",
    "L2": "parts.penalties",
    "Training": "parts.training",
    "Adam": "parts.optimizers",
    "SGD": "parts.optimizers",
}

__all__ = [
    "L1",
    "L2",
    "MLP",
    "SGD",
    "Adam",
    "AnomalyDetector",
    "Autoencoder",
    "AutoencoderClassifier",
    "BatchTopK",
    "Contractive",
    "ConvNet",
    "GaussianNoise",
    "ImageCodec",
    "ImageDenoiser",
    "JumpReLU",
    "KLSparsity",
    "MaskingNoise",
    "Neighbours",
    "SaltAndPepper",
    "StackedAutoencoder",
    "TopK",
    "Training",
    "contractive_autoencoder",
    "deep_autoencoder",
    "denoising_autoencoder",
    "k_sparse_autoencoder",
    "load",
    "make_stack",
    "map_autoencoder",
    "sparse_autoencoder",
    "undercomplete_autoencoder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embudo' has no attribute {name!r}")
    value = getattr(import_module(f"embudo.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
