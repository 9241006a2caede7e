"""What is wrong with an input is said in one sentence: what, where, and how to mend it."""

import inspect

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sentences import one_sentence
from sklearn.exceptions import NotFittedError

from embudo import (
    L1,
    L2,
    MLP,
    SGD,
    AnomalyDetector,
    Autoencoder,
    BatchTopK,
    ConvNet,
    KLSparsity,
    MaskingNoise,
    TopK,
    Training,
)
from embudo.errors import InvalidData, InvalidParameter

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6))
ONCE = Training(epochs=1)
NAN, INF = np.nan, np.inf


def spoilt(value):
    bad = X.copy()
    bad[3, 2] = value
    return bad


FRAME = pd.DataFrame(X, columns=["age", "height", "weight", "d", "e", "f"])
WHERE = r"in row 3, column 2 \(1 value in all .*\): drop or fill them first"
NAMED = r"in row 3, column 'weight' \(1 value in all .*\): drop or fill them first"
DATA = {
    "NaN": (spoilt(NAN), rf"^X holds NaN {WHERE}"),
    "infinity": (spoilt(INF), rf"^X holds infinity {WHERE}"),
    "minus infinity in float32": (spoilt(-INF).astype("f4"), rf"^X holds infinity {WHERE}"),
    "NaN in a list": (spoilt(NAN).tolist(), rf"^X holds NaN {WHERE}"),
    "None in a list": ([*X[:3].tolist(), [1, 2, None, 4, 5, 6]], rf"^X holds NaN {WHERE}"),
    "NaN in a tensor": (torch.tensor(spoilt(NAN)), rf"^X holds NaN {WHERE}"),
    "NaN in a sparse matrix": (sp.csr_matrix(spoilt(NAN)), rf"^X holds NaN {WHERE}"),
    "infinity in a sparse array": (sp.coo_array(spoilt(INF)), rf"^X holds infinity {WHERE}"),
    "NaN in a pandas frame": (pd.DataFrame(spoilt(NAN), columns=FRAME.columns), rf"^X holds NaN {NAMED}"),
    "NA in a pandas frame": (
        pd.DataFrame(spoilt(NAN), columns=FRAME.columns).astype("Float64"),
        rf"^X holds NaN {NAMED}",
    ),
    "infinity in a polars frame": (pl.DataFrame(spoilt(INF), list(FRAME.columns)), rf"^X holds infinity {NAMED}"),
    "null in a polars frame": (
        pl.DataFrame(spoilt(NAN), list(FRAME.columns), nan_to_null=True),
        rf"^X holds NaN {NAMED}",
    ),
    "no rows": (X[:0], r"^Found array with 0 sample\(s\) \(shape=\(0, 6\)\) while a minimum of 2 is required"),
    "no rows of images": (np.ones((0, 4, 4)), r"^Found array with 0 sample\(s\) .*shape=\(0, 16\)"),
    "no columns": (X[:, :0], r"^Found array with 0 feature\(s\) \(shape=\(30, 0\)\) while a minimum of 1 is required"),
    "one row": (X[:1], r"^Found array with 1 sample\(s\) \(shape=\(1, 6\)\) while a minimum of 2 is required"),
    "text": ([["a", "b"], ["c", "d"]], r"^X holds text where numbers are expected: 'a' in row 0, column 0; drop"),
    "numbers as text": (X.astype(str), r"^X holds text where .*make numbers of them with X\.astype\(float\)"),
    "text among numbers": (
        np.array([[1, 2], [3, "x"]], dtype=object),
        r"^X holds text .*: 'x' in row 1, column 1; drop",
    ),
    "bytes": (np.array([[b"a"], [b"b"]]), r"^X holds text where numbers are expected"),
    "a text column": (FRAME.assign(e="x"), r"^X has columns that are not numeric: 'e'; drop them or encode them"),
    "a dict as entry": (
        np.array([[1, {}], [2, 3]], dtype=object),
        r"^X holds a dict in row 0, column 1, but each entry",
    ),
    "dates": (np.zeros((3, 2), "M8[s]"), r"^X must be numeric; got dtype datetime64\[s\]"),
    "ragged lists": ([[1, 2], [3]], r"^X is ragged: its rows differ in length; expected n_samples rows of n_features"),
    "ragged objects": (np.array([[1, 2], [3]], dtype=object), r"^X is ragged: row 0 holds a list"),
    "complex numbers": (X + 1j, r"^Complex data not supported: X is complex128; pass real and imaginary parts as"),
    "a complex tensor": (torch.tensor(X) * 1j, r"^Complex data not supported: X is complex128"),
    "a complex sparse matrix": (sp.csr_array(X) * 1j, r"^Complex data not supported: X is complex128"),
    "a sparse tensor": (
        torch.tensor(X).to_sparse(),
        r"sparse tensor of PyTorch, .*: pass a SciPy sparse matrix, or X\.",
    ),
    "one dimension": (X[0], r"^Reshape your data .*: X has shape \(6,\); X\.reshape\(-1, 1\) makes it one feature"),
    "a series": (FRAME["age"], r"^Reshape your data .*: X has shape \(30,\)"),
    "a number": (3.0, r"^Reshape your data .*: X has shape \(\)"),
    "None": (None, r"^X must be an array, a frame or a sparse matrix of numbers; got a NoneType"),
    "an iterator over rows": (iter(X), r"^X is an iterable of batches, .* but a batch of shape \(6,\) came"),
    "batches that cannot be read again": (iter([X, X]), r"^X can be read only once, .* learn by partial_fit\.$"),
    "no batches": (iter([]), "^X is an iterable of batches, but it holds none"),
    "a path": (
        "rows.parquet",
        r"^X must be an array, a frame or a sparse matrix of numbers; got a str\. Files, .* embudo\.stream\.$",
    ),
    "a lazy frame": (pl.LazyFrame({"a": [1.0]}), r"^X must be an array, .*; got a LazyFrame"),
}


@pytest.mark.parametrize("what", DATA)
def test_data_that_cannot_be_learnt_from(what):
    data, words = DATA[what]
    with pytest.raises(InvalidData, match=words) as error:
        Autoencoder(2, training=ONCE).fit(data)
    one_sentence(error)


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(2, encoder=MLP(4), penalty=L1(0.1), training=ONCE, random_state=0).fit(X)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "reconstruction_error", "score_samples", "score"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (X[:, :5], r"^X has 5 features, but Autoencoder is expecting 6 features as input"),
        (sp.csr_array(X[:, :5]), r"^X has 5 features, but Autoencoder is expecting 6 features as input"),
        (np.ones((3, 4, 4)), r"^X has 16 features, but Autoencoder is expecting 6 features as input"),
        (X[:0], r"^Found array with 0 sample\(s\) \(shape=\(0, 6\)\) while a minimum of 1 is required"),
        (spoilt(NAN), r"^X holds NaN in row 3, column 2"),
        (X[0], r"^Reshape your data"),
    ],
    ids=["features", "sparse features", "images", "empty", "NaN", "one dimension"],
)
def test_data_that_a_fitted_model_cannot_take(method, data, words, fitted):
    with pytest.raises(InvalidData, match=words) as error:
        getattr(fitted, method)(data)
    one_sentence(error)


def test_images_of_another_shape_than_those_learnt():
    estimator = Autoencoder(2, training=ONCE).fit(RNG.random((5, 2, 3)))
    with pytest.raises(
        InvalidData, match=r"^X holds samples of shape \(3, 2\), but .* was fitted on \(2, 3\)"
    ) as error:
        estimator.transform(RNG.random((5, 3, 2)))
    one_sentence(error)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.ones((3, 5)), r"^Codes must have shape \(n_samples, 2\), as from transform; got \(3, 5\)"),
        (np.ones(2), r"^Codes must have shape \(n_samples, 2\), as from transform; got \(2,\)"),
        (np.ones((3, 2, 1)), r"^Codes must have shape \(n_samples, 2\)"),
        (np.array([[1, 2], [3, NAN]]), r"^The codes hold NaN in row 1, column 1"),
        (np.array([["a", "b"]]), r"text where numbers are expected: 'a' in row 0"),
        (np.ones((3, 2)) * 1j, r"^Complex data not supported"),
    ],
    ids=["width", "one dimension", "three dimensions", "NaN", "text", "complex"],
)
def test_codes_that_cannot_be_decoded(codes, words, fitted):
    with pytest.raises(InvalidData, match=words) as error:
        fitted.inverse_transform(codes)
    one_sentence(error)


CHOICES = "'identity', 'relu', 'leaky_relu', 'gelu', 'tanh', 'sigmoid', 'softplus'"
SIZE = r"n_components \(when not None\) must be an integer at least 1; got"
PARAMETERS = {
    "a code of size 0": ({"n_components": 0}, rf"{SIZE} 0"),
    "a code of negative size": ({"n_components": -1}, rf"{SIZE} -1"),
    "a code of broken size": ({"n_components": 2.5}, rf"{SIZE} 2\.5"),
    "a code size as text": ({"n_components": "8"}, rf"{SIZE} '8'"),
    "a code beyond memory": (
        {"n_components": 10**12},
        r"^The network has [\d,]+ weights and needs [\d,]+ GiB to train, but cpu has [\d,]+ GiB: choose fewer comp",
    ),
    "hidden layers beyond memory": ({"encoder": MLP(10**12)}, r"GiB to train, but cpu has .*: choose fewer"),
    "an unknown activation": (
        {"code_activation": "rellu"},
        rf"code_activation must be one of {CHOICES}; got 'rellu' \(did you mean 'relu'\?\)",
    ),
    "an unknown output activation": (
        {"output_activation": "sigmod"},
        r"output_activation .*\(did you mean 'sigmoid'\?\)",
    ),
    "an activation that is no text": ({"code_activation": torch.nn.ReLU}, rf"code_activation must be one of {CHOICES}"),
    "an unknown loss": (
        {"loss": "squared_eror"},
        r"loss .*must be one of 'squared_error', .*; got 'squared_eror' \(did you mean 'squared_error'\?\)",
    ),
    "cross entropy of what is no probability": (
        {"loss": "cross_entropy"},
        r"^loss=\"cross_entropy\" measures probabilities, but output_activation='identity' .*: set output_activation=",
    ),
    "an unknown scale": ({"scale": "standart"}, r"scale must be one of .*\(did you mean 'standard'\?\)"),
    "an unknown init": ({"init": "PCA"}, r"init must be one of 'auto', 'pca', 'dictionary'; got 'PCA'"),
    "PCA for more components than features": (
        {"init": "pca", "n_components": 7},
        r"^init=\"pca\" finds at most 6 components in 30 samples of 6 features; got n_components=7",
    ),
    "PCA for more components than samples": (
        {"init": "pca", "n_components": 6, "X": X[:4]},
        r"^init=\"pca\" finds at most 4 components in 4 samples of 6 features; got n_components=6",
    ),
    "PCA for a network that is not linear": (
        {"init": "pca", "code_activation": "relu"},
        r"^init=\"pca\" needs a network that is linear: no hidden layers",
    ),
    "a dictionary that is deep": (
        {"init": "dictionary", "encoder": MLP(4)},
        r"^init=\"dictionary\" needs one layer each way: no hidden layers, and output_activation \"identity\"",
    ),
    "tied to another decoder": (
        {"tied": True, "encoder": MLP(4), "decoder": MLP(5)},
        r"^tied=True needs a decoder that mirrors the encoder; got encoder=MLP\(\(4,\)\) and .*: leave decoder=None",
    ),
    "tied residual blocks": (
        {"tied": True, "encoder": ConvNet(4, residual_blocks=1, image_shape=(2, 3))},
        r"^tied=True ties layer to layer, but the residual blocks of ConvNet\(.*\) have no transpose",
    ),
    "PCA for convolutions": (
        {"init": "pca", "encoder": ConvNet(4, image_shape=(2, 3))},
        r"^init=\"pca\" needs a network that is linear: no hidden layers",
    ),
    "rows for convolutions": (
        {"encoder": ConvNet(4)},
        r"^ConvNet needs images, but X holds rows of 6 features: pass X of shape .*, or say what a row is, as in Conv",
    ),
    "volumes for convolutions": (
        {"encoder": ConvNet(4), "X": X.reshape(-1, 1, 2, 3, 1)},
        r"^ConvNet needs images, but X holds samples of shape \(1, 2, 3, 1\): pass X",
    ),
    "rows that are not such images": (
        {"encoder": ConvNet(4, image_shape=(2, 2))},
        r"^ConvNet\.image_shape=\(2, 2\) has 4 values, but X holds rows of 6",
    ),
    "images of another shape": (
        {"encoder": ConvNet(4, image_shape=(2, 3)), "X": X.reshape(-1, 3, 2)},
        r"^ConvNet\.image_shape=\(2, 3\) has 6 values, but X holds samples of shape \(3, 2\)",
    ),
    "layers beyond counting": ({"encoder": MLP((10**12, 10**12))}, r"^The network has more weights than any machine"),
    "a code beyond counting": (
        {"n_components": 10**20},
        r"^The network has more weights than any machine can hold: ch",
    ),
    "channels beyond memory": (
        {"encoder": ConvNet(10**12, image_shape=(2, 3))},
        r"GiB to train, but cpu has .*: choose fewer",
    ),
    "tied to what is no truth value": ({"tied": "yes"}, r"tied must be one of True, False; got 'yes'"),
    "patience without validation": (
        {"training": Training(1, patience=3)},
        r"^Training\.patience needs validation: give fit an X_val, or set Training\.validation_fraction",
    ),
    "a validation fraction of no samples": (
        {"training": Training(1, validation_fraction=0.001)},
        r"^Training\.validation_fraction=0\.001 of 30 samples leaves 0 to validate on and 30 to learn from: at least",
    ),
    "a validation fraction of all samples": (
        {"training": Training(1, validation_fraction=0.99)},
        r"^Training\.validation_fraction=0\.99 of 30 samples leaves 30 to validate on and 0 to learn from",
    ),
    "a device that is not there": (
        {"training": Training(1, device="cuda:99")},
        r"^Training\.device='cuda:99' is not available here: use \"cpu\", or \"auto\" to take what there is",
    ),
    "a device of unknown kind": ({"training": Training(1, device="abacus")}, r"device='abacus' is not available here"),
    "text for a part": (
        {"encoder": "MLP(4)"},
        r"encoder must be a part such as MLP\(\(128, 64\)\), or None; got 'MLP\(4\)'",
    ),
    "a size for a part": ({"encoder": 4}, r"encoder must be a part such as MLP\(\(128, 64\)\), or None; got 4"),
    "another part": (
        {"training": SGD(0.1)},
        r"training must be a part such as Training\(50\), or None; got SGD\(0\.1\)",
    ),
    "a network of torch for a part": (
        {"encoder": torch.nn.Sequential(torch.nn.ReLU())},
        r"or None; got Sequential\( \(0\): ReLU\(\) \)\.$",
    ),
    "a weight for a penalty": ({"penalty": 0.1}, r"penalty must be a part such as .*, or None; got 0\.1"),
    "text for a sparsity": (
        {"sparsity": "TopK(1)"},
        r"sparsity must be a part such as TopK\(10\), or None; got 'TopK\(1\)'",
    ),
    "a penalty for a corruption": (
        {"corruption": L1(0.1)},
        r"corruption must be a part such as MaskingNoise\(0\.3\), or None; got L1\(0\.1\)",
    ),
    "a penalty for a loss": ({"loss": L2(0.1)}, r"loss .* must be one of 'squared_error', .*; got L2\(0\.1\)"),
    "a share for a corruption": ({"corruption": 0.3}, r"corruption must be a part such as MaskingNoise.*; got 0\.3"),
    "more units to speak than there are": (
        {"sparsity": TopK(3)},
        r"^TopK\.k must be at most n_components=2; got 3",
    ),
    "more units to encode with than there are": (
        {"sparsity": TopK(1, k_encode=3)},
        r"^TopK\.k_encode must be at most n_components=2; got 3",
    ),
    "more units to speak in a batch than there are": (
        {"sparsity": BatchTopK(3)},
        r"^BatchTopK\.k must be at most n_components=2; got 3",
    ),
    "mean activations of codes that are no probabilities": (
        {"penalty": L1(0.1) + KLSparsity(0.1)},
        r"^KLSparsity compares .* code_activation='identity' can leave \(0, 1\): set code_activation=\"sigmoid\"",
    ),
    "emphasis beside a loss of samples": (
        {"corruption": MaskingNoise(0.3, emphasis=0.8), "loss": lambda y, x: (y - x).square().sum(1)},
        r"^Emphasis on corrupted entries needs the loss of each entry; the callable returned shape \(16,\)",
    ),
    "a corruption that drops features": (
        {"corruption": lambda x, generator: x[:, :3]},
        r"^A corruption must return a batch of the shape it is given, \(16, 6\); it returned \(16, 3\)",
    ),
    "sparse output that is no truth value": (
        {"sparse_output": "csr"},
        r"sparse_output must be one of True, False; got",
    ),
    "a part that is no penalty": ({"penalty": MLP(3)}, r"penalty must be a part such as .*, or None; got MLP"),
}


@pytest.mark.parametrize("what", PARAMETERS)
def test_parameters_that_are_not_allowed(what):
    params, words = PARAMETERS[what]
    params = dict(params)
    data = params.pop("X", X)
    with pytest.raises(InvalidParameter, match=words) as error:
        Autoencoder(**{"n_components": 2, "training": ONCE, **params}).fit(data)
    one_sentence(error)


@pytest.mark.parametrize(("scale", "after"), [(None, ""), ("standard", " after scale='standard'")])
def test_values_that_the_output_cannot_reach(scale, after):
    estimator = Autoencoder(2, scale=scale, output_activation="sigmoid", loss="cross_entropy", training=ONCE)
    with pytest.raises(
        InvalidData,
        match=rf"in \[0, 1\], but X ranges from -\d.* to \d[^ ]*{after}: set scale=\"minmax\", or an output",
    ) as error:
        estimator.fit(X)
    one_sentence(error)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Autoencoder(epochs=3),
            r"^Autoencoder has no parameter 'epochs' of its own: write training=Training\(",
        ),
        (
            lambda: Autoencoder(lr=1),
            r"training=Training\(optimizer=Adam\(lr=\.\.\.\)\), or set training__optimizer__lr",
        ),
        (lambda: Autoencoder(hidden_layer_sizes=3), r": write encoder=MLP\(hidden=\.\.\.\), or set encoder__hidden\.$"),
        (lambda: Autoencoder(latent_dim=3), r"'latent_dim' \(did you mean 'n_components'\?\); it has n_components, "),
        (lambda: Autoencoder(n_jobs=3), r"^Autoencoder has no parameter 'n_jobs'; it has n_components, encoder, "),
        (lambda: AnomalyDetector(activation="relu"), r"autoencoder=Autoencoder\(encoder=MLP\(activation=\.\.\.\)\)"),
        (lambda: Autoencoder().set_params(epochs=3), r"'epochs' of its own: .*, or set training__epochs\.$"),
    ],
)
def test_a_name_that_is_no_parameter_is_refused_with_the_part_that_has_it(make, words):
    with pytest.raises(InvalidParameter, match=words) as error:
        make()
    assert isinstance(error.value, TypeError)
    one_sentence(error)


def test_a_share_is_no_validation_data():
    with pytest.raises(
        InvalidParameter, match=r"^X_val must be samples like X; got 0\.1: .*validation_fraction=0\.1\)\.$"
    ):
        Autoencoder(2, training=ONCE).fit(X, X_val=0.1)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_component": 3}, r"^Autoencoder has no parameter 'n_component' \(did you mean 'n_components'\?\)"),
        ({"training__epoch": 3}, r"^Training has no parameter 'epoch' \(did you mean 'epochs'\?\)"),
        ({"training__optimizer__lrr": 3}, r"^Adam has no parameter 'lrr' \(did you mean 'lr'\?\)"),
        ({"penalty__l3__weight": 3}, r"^L1\(1\) \+ L2\(1\) has no parameter 'l3'; it has l1, l2\.$"),
        ({"tied__lr": 3}, r"^tied__lr cannot be set while Autoencoder\.tied is False: set tied first"),
        ({"training__epochs": 0}, r"^Training\.epochs .* must be an integer at least 1; got 0"),
    ],
)
def test_names_that_set_params_does_not_know_and_values_that_it_refuses(params, words):
    estimator = Autoencoder(2, penalty=L1(1) + L2(1))
    before = estimator.get_params()
    with pytest.raises(InvalidParameter, match=words) as error:
        estimator.set_params(**params)
    one_sentence(error)
    assert estimator.get_params() == before


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("constant", [slice(0, 2), slice(None)], ids=["some columns", "all columns"])
@pytest.mark.parametrize("value", [0.0, 5.0, 1e30])
def test_constant_columns_are_learnt_without_harm(constant, value, loss):
    data = X.copy()
    data[:, constant] = value
    output = "sigmoid" if loss == "cross_entropy" else "identity"
    estimator = Autoencoder(2, loss=loss, output_activation=output, training=Training(20), random_state=0).fit(data)
    found = estimator.reconstruct(data)
    assert np.isfinite(estimator.transform(data)).all()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, constant], value, rtol=0.5, atol=2)


def test_one_row_passes_through_a_fitted_model(fitted):
    np.testing.assert_allclose(fitted.transform(X[:1]), fitted.transform(X)[:1], atol=1e-6)


@pytest.mark.parametrize(
    "use",
    [
        lambda estimator, path: estimator.transform(X),
        lambda estimator, path: estimator.inverse_transform(X[:, :2]),
        lambda estimator, path: estimator.reconstruct(X),
        lambda estimator, path: estimator.score(X),
        lambda estimator, path: estimator.diagnose(X),
        lambda estimator, path: estimator.save(path),
    ],
    ids=["transform", "inverse_transform", "reconstruct", "score", "diagnose", "save"],
)
def test_a_model_that_is_not_fitted(use, tmp_path):
    with pytest.raises(NotFittedError, match=r"^This Autoencoder instance is not fitted yet\. Call 'fit'") as error:
        use(Autoencoder(2), tmp_path / "m.safetensors")
    one_sentence(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "first"), [(Autoencoder, "n_components"), (Training, "epochs"), (MLP, "hidden")])
def test_the_arguments_are_still_told(kind, first):
    assert next(iter(inspect.signature(kind).parameters)) == first


def test_a_subclass_may_take_what_it_likes():
    class Named(Autoencoder):
        def __init__(self, n_components=None, **params):
            super().__init__(n_components)
            self.title = params["title"]

    assert Named(3, title="mine").title == "mine"
