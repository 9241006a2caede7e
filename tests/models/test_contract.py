"""scikit-learn's contract, bare and composed."""

import copy
import inspect
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator
from zoo import COMPOSITIONS, QUICK, digits

from embudo import L1, L2, MLP, Adam, AnomalyDetector, Autoencoder, AutoencoderClassifier, Training, load
from embudo.errors import InvalidParameter
from embudo.parts.expression import parse
from embudo.parts.part import Part

composed = pytest.mark.parametrize("name", COMPOSITIONS)
#: the compositions that scikit-learn's checks see, each for a way of its own through fit and transform: both estimators
#: bare; every parameter given, and samples held out; weights of another type; codes that are sparse; a neighbour graph;
#: and, alone and in a stack, tied weights, noise, rules, penalties and what these remember. The others differ in what
#: the checks do not see, and go through the tests below
CHECKED = ("bare", "greedy", "every_part", "float64", "k_sparse", "map", "everything", "stack_of_everything")


def checked(name):
    """Return a composition that is trained for a few epochs, and fits the checks' own size of a code, one unit."""
    estimator = clone(COMPOSITIONS[name])
    params = estimator.get_params()
    estimator.set_params(training=params["training"] or QUICK)
    return estimator.set_params(**{key: 1 for key in ("sparsity__k", "sparsity__k_encode") if params.get(key)})


def dense(codes):
    return codes.toarray() if scipy.sparse.issparse(codes) else codes


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{name}-{check.func.__name__}")
        for name in CHECKED
        for estimator, check in estimator_checks_generator(checked(name))
    ],
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


#: what scikit-learn asks of its own estimators beyond `check_estimator`
MORE_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_estimators_partial_fit_n_features",
    "check_inplace_ensure_writeable",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:X has feature names, but")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check}")
        for estimator in (
            Autoencoder(2, training=QUICK, random_state=0),
            AnomalyDetector(Autoencoder(2, training=QUICK), n_subsampled=0, random_state=0),
            AutoencoderClassifier(Autoencoder(2, training=QUICK), fine_tune=False, training=QUICK, random_state=0),
        )
        for check in MORE_CHECKS
        if all(hasattr(estimator, method) for method in ("transform", "partial_fit") if method in check)
    ],
)
def test_what_scikit_learn_asks_of_its_own(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


@composed
def test_training_lowers_the_objective(name):
    model = clone(COMPOSITIONS[name]).fit(digits())
    learnt = [ae for _, ae in getattr(model, "layers_", ())] or [model]  # tuning a stack hardly lowers it further
    assert all(stage.history_["loss"][-1] < stage.history_["loss"][0] for stage in learnt)


@composed
def test_clones_and_copies_agree(name):
    X = digits()
    ae = clone(COMPOSITIONS[name]).fit(X)
    codes = dense(ae.transform(X))
    np.testing.assert_array_equal(dense(clone(ae).fit(X).transform(X)), codes)
    for again in (pickle.loads(pickle.dumps(ae)), copy.deepcopy(ae)):
        np.testing.assert_array_equal(dense(again.transform(X)), codes)
        assert again.history_ == ae.history_


@composed
def test_a_file_round_trip_keeps_every_bit(name, tmp_path):
    X = digits()
    ae = clone(COMPOSITIONS[name]).fit(X)
    ae.save(tmp_path / "model.safetensors")
    own = {name: value for name, value in ae.get_params().items() if inspect.isfunction(value)}
    again = load(tmp_path / "model.safetensors", **own)
    np.testing.assert_array_equal(dense(again.transform(X)), dense(ae.transform(X)))
    np.testing.assert_array_equal(again.reconstruct(X), ae.reconstruct(X))
    assert {k: repr(v) for k, v in again.get_params().items()} == {k: repr(v) for k, v in ae.get_params().items()}
    assert again.history_ == ae.history_


@composed
def test_the_parts_of_a_composition_are_read_back_from_their_text(name):
    for value in COMPOSITIONS[name].get_params(deep=False).values():
        if isinstance(value, Part):
            assert parse(repr(value)) == value


def test_a_model_dumped_by_joblib_goes_on_learning(tmp_path):
    X = digits()
    joblib.dump(Autoencoder(3, training=QUICK, random_state=0).fit(X), tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    before = again.score(X)
    assert again.partial_fit(X).score(X) > before


def test_nested_parameters_appear_and_replace_parts():
    ae = Autoencoder(3, encoder=MLP(8), penalty=L1(0.1) + L2(0.2), training=Training(5, optimizer=Adam()))
    params = ae.get_params()
    assert params["encoder__hidden"] == (8,)
    assert params["penalty__l2__weight"] == 0.2
    assert params["training__optimizer__lr"] == 1e-3
    shared = ae.training
    ae.set_params(training__optimizer__lr=0.5, penalty__l1__weight=7, encoder__activation="tanh")
    assert ae.training == Training(5, optimizer=Adam(0.5))
    assert shared == Training(5, optimizer=Adam())
    assert ae.penalty == L1(7) + L2(0.2)
    assert ae.encoder == MLP(8, activation="tanh")


def test_a_field_of_a_part_that_is_none_is_set_on_its_default():
    ae = Autoencoder().set_params(training__epochs=3, encoder__hidden=(4,))
    assert (ae.training, ae.encoder) == (Training(3), MLP(4))
    with pytest.raises(InvalidParameter, match=r"penalty__weight.*set penalty first"):
        ae.set_params(penalty__weight=1)
    with pytest.raises(InvalidParameter, match="did you mean 'epochs'"):
        ae.set_params(training__epoch=3)


def test_grid_search_over_nested_keys():
    grid = {"encoder__hidden": [(4,), (8, 4)], "training__optimizer__lr": np.array([1e-3, 1e-2]), "n_components": [2]}
    search = GridSearchCV(Autoencoder(training=QUICK, random_state=0), grid, cv=2).fit(digits())
    assert search.best_params_["training__optimizer__lr"] == 1e-2
    assert len(search.cv_results_["params"]) == 4


def test_a_pipeline_classifies_codes():
    X, y = digits(n_samples=1000), np.arange(1000) % 2
    y = PCA(1, random_state=0).fit_transform(X)[:, 0] > 0
    model = make_pipeline(Autoencoder(8, training=Training(20), random_state=0), LogisticRegression())
    assert cross_val_score(model, X, y, cv=2).mean() > 0.8
    assert cross_val_score(Autoencoder(2, training=QUICK, random_state=0), X, cv=2).max() < 0


def test_pandas_output_and_feature_names():
    frame = pd.DataFrame(digits(), columns=[f"pixel{i}" for i in range(64)])
    ae = Autoencoder(3, training=QUICK, random_state=0).set_output(transform="pandas")
    codes = ae.fit_transform(frame)
    assert list(codes.columns) == ["autoencoder0", "autoencoder1", "autoencoder2"]
    assert list(ae.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        ae.transform(frame[frame.columns[::-1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_of_floating_input_is_the_type_of_the_output(dtype):
    X = digits(dtype)
    ae = Autoencoder(3, training=QUICK, random_state=0).fit(X)
    assert ae.transform(X).dtype == ae.reconstruct(X).dtype == ae.inverse_transform(ae.transform(X)).dtype == dtype


def test_images_keep_their_shape():
    images = (digits().reshape(-1, 8, 8, 1) * 255).astype(np.uint8)
    ae = Autoencoder(3, training=QUICK, random_state=0).fit(images)
    assert ae.scaler_.kind == "pixels"
    assert ae.n_features_in_ == 64
    assert ae.reconstruct(images).shape == images.shape
    assert ae.inverse_transform(ae.transform(images)).shape == images.shape
    flat = images.reshape(200, -1)
    np.testing.assert_array_equal(ae.transform(flat), ae.transform(images))
    assert ae.reconstruct(flat).shape == flat.shape
    with pytest.raises(ValueError, match=r"\(4, 16, 1\).*\(8, 8, 1\)"):
        ae.transform(images.reshape(-1, 4, 16, 1))


def test_global_generators_are_neither_seeded_nor_read():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the global generator is what is watched)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Autoencoder(3, training=QUICK, random_state=0).fit(digits())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_numpys_integers_are_integers(tmp_path):
    ae = Autoencoder(np.int64(3), training=QUICK, random_state=np.int64(0)).fit(digits())
    ae.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").n_components == 3
