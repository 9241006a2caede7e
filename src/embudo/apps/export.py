"""Classifiers, detectors and denoisers as graphs that stand alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from embudo.apps.noises import HIGHEST
from embudo.errors import InvalidData, InvalidParameter
from embudo.models.export import Arrays, Graph, standalone
from embudo.nn.standalone import Denoiser, Detector, SoftmaxClassifier

if TYPE_CHECKING:
    from embudo.apps.classification import AutoencoderClassifier
    from embudo.apps.denoising import ImageDenoiser
    from embudo.apps.detection import AnomalyDetector


def classifier_graph(model: AutoencoderClassifier) -> Graph:
    """Return from samples to probabilities and labels."""
    pair = standalone(model.module_, model.scaler_, model.sample_shape_ or (model.n_features_in_,))
    text = model.classes_.dtype.kind == "U"
    classes = np.arange(len(model.classes_)) if text else model.classes_

    def compute(X: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": model.predict_proba(X), "label": model.predict(X)}

    def margin(found: Arrays) -> np.ndarray:
        ordered = np.sort(found["probabilities"], axis=1)
        lead: np.ndarray = ordered[:, -1] - ordered[:, -2:-1].sum(axis=1)
        return lead

    module = SoftmaxClassifier(*pair, torch.from_numpy(classes))
    return Graph(module, compute, margin=margin, words=model.classes_ if text else None)


def detector_graph(model: AnomalyDetector) -> Graph:
    """Return from samples to scores and flags.

    Raises
    ------
    InvalidParameter
        If the detector encodes the columns of a table.
    """
    if model.table_ is not None:
        raise InvalidParameter(
            "A detector that has learnt from categories or missing values cannot be exported: fit it on numbers alone."
        )
    judges = model._judges()
    modules = judges.modules(model.sample_shape_ or (model.n_features_in_,))
    threshold = torch.tensor(model.offset_, dtype=next(modules[0].parameters()).dtype)

    def compute(X: np.ndarray) -> dict[str, np.ndarray]:
        scores = model.score_samples(X)
        return {"score": scores, "anomaly": scores < model.offset_}

    def margin(found: Arrays) -> np.ndarray:
        size = max(np.abs(found["score"]).max(), np.finfo(np.float64).tiny)
        distance: np.ndarray = np.abs(found["score"] - model.offset_) / size
        return distance

    return Graph(Detector(modules, judges.shares, threshold, takes_gaps=judges.takes_gaps), compute, margin=margin)


def denoiser_graph(model: ImageDenoiser, channels: int) -> Graph:
    """Return from noisy images of so many channels, and the level of noise in each, to images."""
    network = copy.deepcopy(model._network(channels)).cpu().eval()

    def prepare(images: np.ndarray) -> tuple[np.ndarray, ...]:
        if images.shape[3] < channels:
            raise InvalidData(f"The images to compare on must have {channels} channels; they have {images.shape[3]}.")
        levels = np.arange(len(images)) % 3 * 0.2 if model.told_ else np.zeros(len(images))
        return images[..., :channels], levels

    def compute(images: np.ndarray, levels: np.ndarray) -> dict[str, np.ndarray]:
        pairs = zip(images, levels, strict=True)
        return {"denoised": np.stack([model.denoise(image, level or None, n_views=1) for image, level in pairs])}

    size = ("n", "height", "width")
    return Graph(Denoiser(network, HIGHEST), compute, {"x": size, "sigma": ("n",)}, prepare)
