"""Numbers of every type, layout and size: the result that float64 gives, or one clear sentence."""

import numpy as np
import pandas as pd
import pytest
import torch
from sentences import one_sentence

import embudo
from embudo import MLP, AnomalyDetector, Autoencoder, AutoencoderClassifier, StackedAutoencoder, Training
from embudo.errors import InvalidData, InvalidParameter, TrainingDiverged

RNG = np.random.default_rng(0)
X = RNG.integers(0, 50, size=(40, 6)).astype(float)
X[:, 3] = (X[:, 0] + X[:, 1]) // 2
Z = RNG.normal(size=(40, 6))
LABELS = (X[:, 0] > 25).astype(int)
QUICK = Training(2, batch_size=16)


def layer(n_components, **params):
    return Autoencoder(n_components, **{"training": QUICK, "random_state": 0, "scale": "standard", **params})


ESTIMATORS = {
    "autoencoder": lambda: layer(2, encoder=MLP(4)),
    "minmax": lambda: layer(2, scale="minmax", output_activation="sigmoid", loss="cross_entropy"),
    "float64": lambda: layer(2, training=Training(2, batch_size=16, precision="float64")),
    "stack": lambda: StackedAutoencoder([("a", layer(4)), ("b", layer(2))], training=QUICK, random_state=0),
    "denoising": lambda: AnomalyDetector(layer(2), n_subsampled=0, random_state=0),
    "whitened": lambda: AnomalyDetector(layer(2), criterion="whitened", n_subsampled=0, random_state=0),
    "density": lambda: AnomalyDetector(layer(2), criterion="density", n_subsampled=0, random_state=0),
}
METHODS = ("transform", "reconstruct", "reconstruction_error", "predict_proba", "score_samples", "predict", "explain")


def results(estimator, data):
    """Return what the methods make of samples, by name, as float64."""
    found = {name: getattr(estimator, name)(data) for name in METHODS if hasattr(estimator, name)}
    if "explain" in found:
        found["explain"] = found["explain"][["share", "expected"]]
    if hasattr(estimator, "inverse_transform"):
        found["inverse_transform"] = estimator.inverse_transform(estimator.transform(data))
    return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}


@pytest.fixture(scope="module")
def expected():
    """What float64 in C order gives, of each estimator."""
    return {name: results(make().fit(X), X) for name, make in ESTIMATORS.items()}


def locked(array):
    array.flags.writeable = False
    return array


def mapped(array, folder):
    np.save(folder / "x.npy", array)
    return np.load(folder / "x.npy", mmap_mode="r")


KINDS = ["f2", "f4", "g", "i1", "i2", "i8", "u1", "u4", "u8", ">f2", ">f4", ">f8", ">i4", ">u2"]
FORMS = {
    **{kind: lambda _, kind=kind: X.astype(kind) for kind in KINDS},
    "Fortran order": lambda _: np.asfortranarray(X),
    "negative strides": lambda _: X[::-1, ::-1].copy()[::-1, ::-1],
    "every second entry": lambda _: np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2],
    "unaligned": lambda _: np.frombuffer(b"x" + X.tobytes(), "u1")[1:].view("f8").reshape(X.shape),
    "read-only": lambda _: locked(X.copy()),
    "read-only float32": lambda _: locked(X.astype("f4")),
    "memory-mapped": lambda folder: mapped(X, folder),
    "memory-mapped, big-endian": lambda folder: mapped(X.astype(">f4"), folder),
    "objects": lambda _: X.astype(int).astype(object),
    "a list": lambda _: X.tolist(),
    "masked, nothing masked": lambda _: np.ma.MaskedArray(X),
    "half-precision tensor": lambda _: torch.tensor(X).half(),
    "transposed tensor that learns": lambda _: torch.tensor(X.T.copy(), requires_grad=True).T,
}


def content(data):
    return data.detach().float().numpy().tobytes() if isinstance(data, torch.Tensor) else np.asarray(data).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_type_and_layout_do_not_change_what_is_learnt(form, expected, tmp_path):
    data = FORMS[form](tmp_path)
    before = content(data)
    for name, make in ESTIMATORS.items():
        found = results(make().fit(data), data)
        for method, wanted in expected[name].items():
            np.testing.assert_allclose(
                found[method], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max(), err_msg=f"{name}.{method}"
            )
    assert content(data) == before


def test_truth_values_are_numbers():
    for make in ESTIMATORS.values():
        truth = X > 25
        wanted, found = (results(make().fit(data), data) for data in (truth.astype(float), truth))
        for method, values in wanted.items():
            np.testing.assert_allclose(found[method], values, rtol=0, atol=1e-4 * np.abs(values).max())


@pytest.mark.parametrize(
    "data", [X.astype(">f2"), np.asfortranarray(X) * 1e-30, X * 1e149], ids=["f2", "1e-30", "1e149"]
)
def test_a_classifier_minds_neither_types_nor_scales(data):
    wanted, found = (
        AutoencoderClassifier(layer(4), fine_tune=False, training=QUICK, random_state=0)
        .fit(rows, LABELS)
        .predict_proba(rows)
        for rows in (X, data)
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-3)


SCALES = (1e-30, 1e30, 1e-300, 1e149, 10.0 ** np.array([-30, 30, -300, 140, 0, 5]))


def without_units(found, factor):
    """Return what does not depend on the units of the samples, or has been brought to those of `factor`."""
    if "reconstruct" in found:
        return {
            "transform": found["transform"],
            **{name: found[name] / factor for name in ("reconstruct", "inverse_transform")},
        }
    return {name: values for name, values in found.items() if name != "explain"}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_scale_of_a_feature_does_not_change_what_is_learnt(name, tmp_path):
    wanted = without_units(results(ESTIMATORS[name]().fit(Z), Z), 1.0)
    for scale in SCALES:
        for kind, factor in (("f8", scale), ("f4", np.clip(scale, 1e-36, 1e36))):
            data = (Z * factor).astype(kind)
            model = ESTIMATORS[name]().fit(data)
            found = without_units(results(model, data), factor)
            for method, values in wanted.items():
                np.testing.assert_allclose(found[method], values, rtol=0, atol=3e-3 * np.abs(values).max())
            model.save(tmp_path / "m.safetensors")
            again = results(embudo.load(tmp_path / "m.safetensors"), data)
            np.testing.assert_equal(without_units(again, factor), found)


MOST, MOST4, LEAST = np.finfo("f8").max, np.finfo("f4").max, 5e-324
EDGES = {
    "denormals": np.round(Z * 1000) * LEAST,
    "least denormals": np.sign(Z) * LEAST,
    "float32's least denormals": np.eye(40, 6, dtype="f4") * np.float32(1e-45),
    "float32's range": (Z / np.abs(Z).max() * MOST4).astype("f4"),
    "float32's two ends": np.where(Z > 0, MOST4, -MOST4).astype("f4"),
    "float16's range": (Z / np.abs(Z).max() * 65504).astype("f2"),
    "integers' range": np.where(Z > 0, np.iinfo("i8").max, np.iinfo("i8").min),
    "far from 0": 1e16 + Z * 100,
    "one outlier": np.vstack([Z, np.full((1, 6), 1e140)]),
    "a constant great feature": np.column_stack([Z[:, :5], np.full(40, 1e140)]),
    "a constant great float32": np.column_stack([Z[:, :5], np.full(40, 1e38)]).astype("f4"),
    "constants": np.full((40, 6), 7.0),
    "great constants": np.full((40, 6), 1e140),
    "signed zeros": np.where(Z > 0, -0.0, 0.0),
    "one feature": Z[:, :1],
    "two rows": Z[:2],
    "two rows of one feature": Z[:2, :1],
    "equal rows": Z[[0, 0, 0]],
    "100 000 features": RNG.random((8, 100_000), dtype="f4"),
}


@pytest.mark.parametrize("edge", EDGES)
def test_nothing_but_finite_numbers_comes_out(edge):
    data = EDGES[edge]
    makers = {
        **ESTIMATORS,
        "PCA's weights": lambda: layer(1, init="pca"),
        "as it comes": lambda: layer(2, scale="auto"),
    }
    for name in makers if data.shape[1] < 1000 else ("autoencoder", "denoising"):
        model = makers[name]().fit(data)
        if edge.startswith("float32's") and hasattr(model, "reconstruct"):
            data = data.astype(np.float64)  # reconstructions may be beyond that range
        found = results(model, data)
        for method, values in found.items():
            assert np.isfinite(values).all(), (name, method)


def test_a_constant_feature_does_not_drown_the_others():
    alone = layer(2, encoder=MLP(4)).fit(Z)
    beside = layer(2, encoder=MLP(4)).fit(np.column_stack([Z, np.full(40, 1e140)]))
    assert beside.history_["loss"][0] < 2 * alone.history_["loss"][0]


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_small_values_that_are_not_negative_are_learnt(output):
    data = np.abs(Z) * 1e-9
    ae = layer(6, scale="auto", output_activation=output, training=Training(60, batch_size=8)).fit(data)
    assert ae.diagnose(data)["fvu"] < 0.8


def test_scores_of_the_farthest_samples_are_finite_and_low():
    for criterion in ("denoising", "whitened", "squared", "density"):
        for learnt in (Z, Z * 1e-280, np.ones((40, 6))):
            detector = AnomalyDetector(layer(2), criterion=criterion, n_subsampled=0, random_state=0).fit(learnt)
            far = np.sign(Z) * 1e149
            assert np.isfinite(detector.score_samples(far)).all()
            assert (detector.predict(far) == -1).all()
            assert np.isfinite(detector.explain(far)[["share", "expected"]].to_numpy()).all()


def test_constants_great_and_small_beside_categories():
    numbers = np.column_stack([np.full(38, 1e140), Z[:38, 0] * 1e-310, Z[:38, 1] * 1e149])
    table = pd.DataFrame(numbers, columns=list("abc")).assign(d=["x", "y"] * 19)
    detector = AnomalyDetector(layer(2), n_subsampled=0, random_state=0).fit(table)
    encoded = detector.table_.encode(table)
    assert not encoded[:, 0].any()
    assert np.abs(encoded).max() < 10
    assert np.isfinite(detector.score_samples(table)).all()


REFUSED = {
    "a value too great": (np.where(np.arange(6) == 2, 1e300, Z), r"^X holds 1e\+300 in row 0, column 2, whose square"),
    "a sentinel": (
        np.where(Z > 2, MOST, Z),
        r"^X holds 1\.79769e\+308 in row \d+, column \d, .*: bring its feature to",
    ),
    "beyond float64": (Z.astype("g") * np.longdouble("1e4000"), r"^X holds infinity in row 0, column 0"),
    "an integer beyond float64": ([[10**400, 1], [2, 3]], "integer that is too great for float64"),
    "lists in a column": (pd.DataFrame({"a": [[1], [2], [3]], "b": "x"}), r"^Column 'a' holds a list in row 0: make"),
    "a value too great in a table": (
        pd.DataFrame({"a": [1e300, 1, 2], "b": "x"}),
        r"^X holds 1e\+300 in row 0, column 'a'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_numbers_that_cannot_be_learnt_from(what):
    data, words = REFUSED[what]
    with pytest.raises(InvalidData, match=words) as error:
        AnomalyDetector(layer(2)).fit(data)
    one_sentence(error)


def test_what_is_beyond_float32_is_told():
    ae = layer(2).fit(Z * 1e30)
    with pytest.raises(InvalidData, match=r"^What the network makes of row 1 is beyond float32: pass float64") as error:
        ae.inverse_transform(np.array([[0, 0], [3e38, 3e38]], "f4"))
    one_sentence(error)
    with pytest.raises(InvalidParameter, match=r"too small for the network's float32 to scale them: fit the") as error:
        layer(2).fit(Z * 1e100).to_torch()
    one_sentence(error)
    with pytest.raises(TrainingDiverged, match=r'scale="standard"; the last good weights are kept\.$') as error:
        layer(2, scale=None).fit(Z * 1e30)
    one_sentence(error)


@pytest.mark.parametrize("device", ["cuda:99", "mps:9", "meta", "hpu", "mkldnn", ""])
def test_a_device_that_is_not_there_or_holds_no_values(device, tmp_path):
    layer(2).fit(Z).save(tmp_path / "m.safetensors")
    words = rf"^Training\.device='{device}' is not available here: use \"cpu\", or \"auto\" to take what there is\.$"
    with pytest.raises(InvalidParameter, match=words):
        layer(2, training=Training(1, device=device)).fit(Z)
    with pytest.raises(InvalidParameter, match=words):
        embudo.load(tmp_path / "m.safetensors", device=device)
