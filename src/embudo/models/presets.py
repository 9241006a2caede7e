"""Named variants: functions that return the composition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import clone

from embudo.models.autoencoder import Autoencoder
from embudo.models.stacked import StackedAutoencoder
from embudo.parts.architectures import MLP
from embudo.parts.corruptions import MaskingNoise
from embudo.parts.optimizers import Adam
from embudo.parts.penalties import Contractive, KLSparsity, Neighbours
from embudo.parts.sparsities import TopK
from embudo.parts.training import Training

#: logistic layers, and inputs as probabilities: what the papers trained on MNIST
_LOGISTIC: dict[str, Any] = {"code_activation": "sigmoid", "output_activation": "sigmoid", "loss": "cross_entropy"}


def undercomplete_autoencoder(n_components: int, **params: Any) -> Autoencoder:
    """Return an autoencoder with fewer code units than features: the code must compress.

    Parameters
    ----------
    n_components : int
        Size of the code.
    **params
        Any other parameter of `Autoencoder`. By default the encoder has two hidden layers of 512 and 128 rectifiers.

    Returns
    -------
    Autoencoder

    Examples
    --------
    >>> from embudo import undercomplete_autoencoder
    >>> undercomplete_autoencoder(8)
    Autoencoder(encoder=MLP((512, 128)), n_components=8)
    """
    return Autoencoder(n_components, **{"encoder": MLP((512, 128)), **params})


def denoising_autoencoder(n_components: int, *, fraction: float = 0.25, **params: Any) -> Autoencoder:
    """Return an autoencoder that learns to undo the masking of entries, after Vincent et al. [1]_.

    Logistic units, tied weights, cross-entropy.

    Parameters
    ----------
    n_components : int
        Size of the code; it may exceed that of the input.
    fraction : float, default=0.25
        Share of the entries that are masked.
    **params
        Any other parameter of `Autoencoder`; ``corruption`` replaces the masking.

    Returns
    -------
    Autoencoder

    References
    ----------
    .. [1] Vincent, Larochelle, Bengio and Manzagol (2008). Extracting and composing robust features with denoising
       autoencoders. ICML.

    Examples
    --------
    >>> from embudo import GaussianNoise, denoising_autoencoder
    >>> denoising_autoencoder(1000).corruption
    MaskingNoise()
    >>> denoising_autoencoder(1000, corruption=GaussianNoise(0.1)).corruption
    GaussianNoise(0.1)
    """
    return Autoencoder(n_components, **{**_LOGISTIC, "tied": True, "corruption": MaskingNoise(fraction), **params})


def sparse_autoencoder(n_components: int, *, rho: float = 0.05, weight: float = 6.0, **params: Any) -> Autoencoder:
    """Return an autoencoder whose units speak rarely, after Ng [1]_.

    Logistic units, squared error, and the divergence of mean activations from `rho`.

    Parameters
    ----------
    n_components : int
        Size of the code; it may exceed that of the input.
    rho : float, default=0.05
        Mean activation that costs nothing.
    weight : float, default=6.0
        Cost of the divergence. The notes' 3 is beside half the squared error.
    **params
        Any other parameter of `Autoencoder`.

    Returns
    -------
    Autoencoder

    References
    ----------
    .. [1] Ng (2011). Sparse autoencoder. CS294A lecture notes, Stanford.

    Examples
    --------
    >>> from embudo import sparse_autoencoder
    >>> sparse_autoencoder(200).penalty
    KLSparsity(weight=6.0)
    """
    penalty = KLSparsity(rho, weight=weight)
    return Autoencoder(n_components, **{**_LOGISTIC, "loss": "squared_error", "penalty": penalty, **params})


def k_sparse_autoencoder(n_components: int, *, k: int = 25, **params: Any) -> Autoencoder:
    """Return an autoencoder of which `k` units speak for each sample, after Makhzani and Frey [1]_.

    Linear units, tied weights, squared error; the number of units falls to `k` over the first half of the training.

    Parameters
    ----------
    n_components : int
        Size of the code, usually greater than that of the input.
    k : int, default=25
        Units that speak.
    **params
        Any other parameter of `Autoencoder`; with ``sparsity=TopK(k, k_encode=3 * k)`` more speak after training,
        which the paper found better for classification.

    Returns
    -------
    Autoencoder

    References
    ----------
    .. [1] Makhzani and Frey (2013). k-Sparse autoencoders. arXiv:1312.5663.

    Examples
    --------
    >>> from embudo import k_sparse_autoencoder
    >>> k_sparse_autoencoder(1000, k=40).sparsity
    TopK(40, anneal=0.5)
    """
    return Autoencoder(n_components, **{"tied": True, "sparsity": TopK(k, anneal=0.5), **params})


def contractive_autoencoder(n_components: int, *, weight: float = 0.1, **params: Any) -> Autoencoder:
    """Return an autoencoder whose code changes little where its input changes little, after Rifai et al. [1]_.

    Logistic units, tied weights, cross-entropy.

    Parameters
    ----------
    n_components : int
        Size of the code; it may exceed that of the input.
    weight : float, default=0.1
        Cost of the squared Frobenius norm of the encoder's Jacobian.
    **params
        Any other parameter of `Autoencoder`.

    Returns
    -------
    Autoencoder

    References
    ----------
    .. [1] Rifai, Vincent, Muller, Glorot and Bengio (2011). Contractive auto-encoders: explicit invariance during
       feature extraction. ICML.

    Examples
    --------
    >>> from embudo import contractive_autoencoder
    >>> contractive_autoencoder(1000, weight=0.5).penalty
    Contractive(0.5)
    """
    return Autoencoder(n_components, **{**_LOGISTIC, "tied": True, "penalty": Contractive(weight), **params})


def make_stack(template: Autoencoder, sizes: Sequence[int], **params: Any) -> StackedAutoencoder:
    """Return a stack of copies of one autoencoder, each with a code of its own size.

    The levels are named "level1", "level2" and so on from the samples up. Those above the first reconstruct codes:
    their output has the activation of the codes, which it needs no scaling to reach, and a cross-entropy becomes a
    squared error where codes are no probabilities.

    Parameters
    ----------
    template : Autoencoder
        What the levels have in common.
    sizes : sequence of int
        Size of the code of each level.
    **params
        Parameters of `StackedAutoencoder`.

    Returns
    -------
    StackedAutoencoder

    Raises
    ------
    InvalidParameter
        If there are no sizes.

    Examples
    --------
    >>> from embudo import Autoencoder, make_stack
    >>> stack = make_stack(Autoencoder(code_activation="tanh"), (500, 250, 30), random_state=0)
    >>> [level.n_components for _, level in stack.layers]
    [500, 250, 30]
    """
    layers = []
    for number, size in enumerate(sizes, 1):
        level = clone(template).set_params(n_components=size)
        if number > 1:
            level.set_params(output_activation=template.code_activation)
            if template.code_activation != "identity":
                level.set_params(scale=None)  # the codes below lie where this activation can reach
            if template.code_activation != "sigmoid" and template.loss == "cross_entropy":
                level.set_params(loss="squared_error")
        layers.append((f"level{number}", level))
    return StackedAutoencoder(layers, **params)


def deep_autoencoder(sizes: Sequence[int], *, activation: str = "sigmoid", **params: Any) -> StackedAutoencoder:
    """Return a stack whose levels halve the way to a small linear code, after Hinton and Salakhutdinov [1]_.

    Logistic hidden layers, a linear topmost code, logistic output: inputs are probabilities, such as grey values. The
    paper's levels are Boltzmann machines; these are autoencoders.

    Parameters
    ----------
    sizes : sequence of int
        Size of the code of each level; the paper's are (1000, 500, 250, 30).
    activation : str, default="sigmoid"
        Activation of the codes but the topmost.
    **params
        Parameters of `StackedAutoencoder`.

    Returns
    -------
    StackedAutoencoder

    References
    ----------
    .. [1] Hinton and Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.

    Examples
    --------
    >>> from embudo import deep_autoencoder
    >>> [name for name, level in deep_autoencoder((1000, 500, 250, 30)).layers]
    ['level1', 'level2', 'level3', 'level4']
    """
    template = Autoencoder(code_activation=activation, output_activation="sigmoid", loss="cross_entropy")
    stack = make_stack(template, sizes, **params)
    return stack.set_params(**{f"level{len(sizes)}__code_activation": "identity"})


def map_autoencoder(n_components: int = 2, *, n_neighbors: int = 15, **params: Any) -> Autoencoder:
    """Return an autoencoder whose code is a map for looking: neighbours lie together, as `Neighbours` lays them out.

    Parameters
    ----------
    n_components : int, default=2
        Dimensions of the map, 2 or 3 to be looked at.
    n_neighbors : int, default=15
        Size of a neighbourhood.
    **params
        Any other parameter of `Autoencoder`. By default the encoder has three hidden layers of 512, 256 and 128 units;
        ``penalty=None`` is an autoencoder as it is.

    Returns
    -------
    Autoencoder

    Examples
    --------
    >>> from embudo import map_autoencoder
    >>> map_autoencoder(3).penalty
    Neighbours()
    """
    training = Training(optimizer=Adam(2e-3, weight_decay=0.1))
    encoder = MLP((512, 256, 128), activation="gelu")
    penalty = Neighbours(n_neighbors=n_neighbors)
    return Autoencoder(n_components, **{"encoder": encoder, "penalty": penalty, "training": training, **params})
