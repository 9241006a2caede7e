"""Named variants: functions that return the composition."""

from __future__ import annotations

from typing import Any

from embudo.models.autoencoder import Autoencoder
from embudo.parts.architectures import MLP


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
