"""From estimators to torch modules and ONNX graphs that stand alone, checked against what they were made of."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

import embudo
from embudo.data.arrays import as_dense
from embudo.data.files import write_atomically
from embudo.data.scaling import Scaler
from embudo.data.streams import Stream
from embudo.errors import ExportDiffers, InvalidParameter, MissingDependency, check_choice, check_number
from embudo.models.composed import Composed
from embudo.nn.standalone import Scaling

N_ROWS = 64  #: random samples on which a graph is compared with what it was made of
MOST_BYTES = 2**31  #: of the weights of a graph in one file
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Graph:
    """A part of an estimator that stands alone.

    Attributes
    ----------
    module : nn.Module
        From a tensor to the outputs, in order.
    compute : callable
        Gives, of the inputs in order, what the estimator itself makes of them: arrays by the names of the outputs.
    inputs : dict of str to tuple of str
        Name of each input, and names of its first dimensions, which may be of any size.
    prepare : callable
        Gives the inputs of samples, in order.
    unit : ndarray or None
        What the outputs are measured in, a number or one a feature. None is their mean magnitude.
    margin : callable or None
        Gives, of what was computed, how far each row is from another decision, where there is one to be made.
    words : ndarray of str, or None
        What the output ``label`` counts, where that is text.
    """

    module: nn.Module
    compute: Callable[..., dict[str, np.ndarray]]
    inputs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=lambda: {"x": ("n",)})
    prepare: Callable[[np.ndarray], tuple[np.ndarray, ...]] = lambda X: (X,)
    unit: np.ndarray | None = None
    margin: Callable[[Arrays], np.ndarray] | None = None
    words: np.ndarray | None = None

    @property
    def dtype(self) -> str:
        """Name of the type that goes in: that of the weights."""
        return str(next(self.module.parameters()).dtype).removeprefix("torch.")


class Exportable(Composed):
    """An estimator that can be a torch module and an ONNX graph."""

    _graphs: ClassVar[tuple[str, ...]] = ()  #: what may be exported; the first is the whole

    def to_torch(self, part: str | None = None) -> nn.Module:
        """Return a torch module that stands alone: samples in their own units go in, scaling is inside.

        Parameters
        ----------
        part : {"encoder", "decoder", "reconstruction", "grey", "colour"} or None, default=None
            Of an autoencoder: from samples to codes, from codes to samples, or both. Of a denoiser: the network for
            images of that kind. None is the whole, or the first of the networks.

        Returns
        -------
        torch.nn.Module
            On the CPU, with weights of its own, for `torch.export` or any other use. From a tensor of shape (n,
            n_features) or ``(n, *sample_shape_)`` to codes or samples; of a classifier to probabilities and labels (the
            positions in ``classes_`` where these are text); of a detector to scores and flags, True for an anomaly. A
            denoiser's takes images of shape (n, height, width, channels), from 0 to 1, and the level of the noise in
            each, shape (n,), 0 where it is not known, and looks at them once, as with ``n_views=1``.

        Raises
        ------
        InvalidParameter
            If there is no such part, or no module can do what the estimator does.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from embudo import Autoencoder
        >>> X = np.random.default_rng(0).normal(10, 3, size=(50, 4)).astype(np.float32)
        >>> ae = Autoencoder(2, random_state=0).fit(X)
        >>> codes = ae.to_torch("encoder")(torch.from_numpy(X))
        >>> np.allclose(codes.detach(), ae.transform(X), atol=1e-5)
        True
        """
        return self._checked_graph(part).module

    def to_onnx(self, path: str | Path, part: str | None = None, *, X: Any = None, tolerance: float = 1e-4) -> float:
        """Write an ONNX file of any number of rows, after onnxruntime has computed with it what the estimator does.

        Parameters
        ----------
        path : str or Path
            Replaced as a whole, or not at all.
        part : {"encoder", "decoder", "reconstruction", "grey", "colour"} or None, default=None
            As in `to_torch`. Inputs are called ``x`` or ``code``, beside ``sigma`` of a denoiser; outputs ``code``,
            ``reconstruction``, ``probabilities`` and ``label``, ``score`` and ``anomaly``, or ``denoised``.
        X : like that of `fit`, optional
            Samples to compare on; of a stream, the first block. Without, 64 random ones in the range of the training
            data, or 3 images.
        tolerance : float, default=1e-4
            How much may differ: of the greatest magnitude of a feature or unit. Decisions may differ where it is within
            that of the threshold.

        Returns
        -------
        float
            The greatest difference, measured likewise.

        Raises
        ------
        ExportDiffers
            If more differs. Nothing is written then.
        MissingDependency
            If onnx, onnxscript or onnxruntime is not installed, or torch is older than 2.7.
        InvalidParameter
            As of `to_torch`; or if the weights are more than the 2 GiB that fit a file.
        """
        check_number("tolerance", tolerance, low=0, open_low=True)
        graph = self._checked_graph(part)
        rows = self._random_samples() if X is None else self._given_samples(X)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            inputs = [array.astype(graph.dtype) for array in graph.prepare(rows.astype(np.float64))]
            expected = graph.compute(*(array.astype(np.float64) for array in inputs))
        # of one row, the exporter would make a constant
        examples = tuple(torch.from_numpy(np.repeat(array[:1], 3, axis=0)) for array in inputs)
        data = as_onnx(graph, examples, list(expected), self._facts())
        found = run_onnx(data, dict(zip(graph.inputs, inputs, strict=True)))
        difference = compare(found, expected, graph, tolerance)
        if difference > tolerance:
            raise ExportDiffers(
                f"'{path}' was not written: what onnxruntime computes differs by {difference:.2g} from the model, and "
                f"tolerance={tolerance:g} is allowed; give other samples as X, or a greater tolerance."
            )
        write_atomically(path, data)
        return difference

    def _checked_graph(self, part: str | None) -> Graph:
        check_is_fitted(self)
        part = self._graphs[0] if part is None else part
        check_choice("part", part, self._graphs)
        return self._graph(part)

    def _graph(self, part: str) -> Graph:
        """Return the part `part` of the estimator, one of `_graphs`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it is made of.")

    def _random_samples(self) -> np.ndarray:
        """Return random samples in the range of the training data, in the shape these had."""
        rng = np.random.default_rng(0)
        shape = (N_ROWS, self.n_features_in_)
        z = rng.standard_normal(shape) if self.scaler_.kind == "standard" else rng.random(shape)
        samples: np.ndarray = self._in_shape(self.scaler_.invert(z))
        return samples

    def _given_samples(self, X: Any) -> np.ndarray:
        """Return samples of a user, validated, in the shape of the training data."""
        rows = self._validated(X, reset=False)
        if isinstance(rows, Stream):
            rows = next(rows.part(0))  # the first block of it
        samples: np.ndarray = self._in_shape(as_dense(rows))
        return samples

    def _facts(self) -> dict[str, Any]:
        """Return what a file says of itself."""
        names = getattr(self, "feature_names_in_", None)
        return {
            "embudo": embudo.__version__,
            "class": type(self).__name__,
            "feature_names": None if names is None else list(map(str, names)),
        }


def standalone(network: nn.Module, scaler: Scaler, sample_shape: Sequence[int]) -> tuple[Any, Scaling]:
    """Return copies, on the CPU, of a fitted network and of the scaling around it.

    Raises
    ------
    InvalidParameter
        If the scaling is beyond the type of the network.
    """
    network = copy.deepcopy(network).cpu().eval()
    if scaler.offset is None or scaler.scale is None:
        return network, Scaling(None, sample_shape)
    dtype = next(network.parameters()).dtype
    if dtype == torch.float32 and scaler.dtype == np.float64:
        raise InvalidParameter(
            "The features are too great or too small for the network's float32 to scale them: fit the model in other "
            'units, or with Training(precision="float64").'
        )
    offset, scale = (torch.from_numpy(array).to(dtype) for array in (scaler.offset, scaler.scale))
    return network, Scaling((offset, scale), sample_shape)


def as_onnx(graph: Graph, examples: tuple[Tensor, ...], outputs: list[str], facts: dict[str, Any]) -> bytes:
    """Return the ONNX file of a graph, for any number of rows.

    Raises
    ------
    MissingDependency
        If onnx or onnxscript is not installed, or torch is too old.
    InvalidParameter
        If it would be too large.
    """
    if sum(tensor.nbytes for tensor in graph.module.state_dict().values()) >= MOST_BYTES:
        raise InvalidParameter("The model has more weights than the 2 GiB that an ONNX file can hold.")
    if torch.__version__ < "2.7":
        raise MissingDependency(f'ONNX needs torch 2.7, not {torch.__version__}: pip install "embudo[onnx]".')
    with missing_extra(), quiet_exporter():
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx needs it)

        program = torch.onnx.export(
            graph.module.eval(),
            examples,
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=outputs,
            dynamic_shapes=tuple(dict(enumerate(names)) for names in graph.inputs.values()),
            verbose=False,
        )
    model = program.model_proto  # type: ignore[union-attr]
    if graph.words is not None:
        in_words(model.graph, graph.words)
    onnx.helper.set_model_props(model, {"embudo": json.dumps(facts)})
    data: bytes = model.SerializeToString()
    return data


def in_words(graph: Any, words: np.ndarray) -> None:
    """Make the output ``label`` of an ONNX graph, which counts, the words that it counts."""
    from onnx import TensorProto, helper

    for node in graph.node:
        node.output[:] = ["label_number" if name == "label" else name for name in node.output]
    encoded: Any = [str(word).encode() for word in words]
    graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [len(encoded)], encoded))
    graph.node.append(helper.make_node("Gather", ["words", "label_number"], ["label"]))
    next(out for out in graph.output if out.name == "label").type.tensor_type.elem_type = TensorProto.STRING


def run_onnx(data: bytes, inputs: Arrays) -> dict[str, np.ndarray]:
    """Return the outputs of an ONNX file by name.

    Raises
    ------
    MissingDependency
        If onnxruntime is not installed.
    """
    with missing_extra():
        import onnxruntime
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def compare(found: Arrays, expected: Arrays, graph: Graph, tolerance: float) -> float:
    """Return the greatest difference, of the greatest magnitude of a feature; infinity where a decision is another."""
    greatest = 0.0
    for name, wanted in expected.items():
        if wanted.dtype.kind == "f":
            unit = np.abs(wanted).mean() if graph.unit is None else graph.unit
            size = np.maximum(np.abs(wanted).max(axis=0), unit)
            ratio = np.abs(found[name] - wanted) / np.where(size > 0, size, 1)
            greatest = max(greatest, float(np.where(np.isnan(ratio), np.inf, ratio).max()))
            continue
        certain = np.ones(len(wanted), dtype=bool)
        if graph.margin is not None:
            certain = graph.margin(expected) > tolerance
        if (found[name] != wanted)[certain].any():
            return np.inf
    return greatest


@contextlib.contextmanager
def missing_extra() -> Iterator[None]:
    """Make one sentence of a library that is not installed.

    Raises
    ------
    MissingDependency
    """
    try:
        yield
    except ImportError as error:
        raise MissingDependency(
            f"ONNX needs onnx, onnxscript and onnxruntime, of which {error.name} is missing: "
            'pip install "embudo[onnx]".'
        ) from None


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep back what torch's exporter says of itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
