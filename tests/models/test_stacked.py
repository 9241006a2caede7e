"""Stacks: greedy levels, one unrolled network, fine-tuning."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from interruption import epochs_begun
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from zoo import QUICK, STACKS, digits

from embudo import MLP, Autoencoder, ConvNet, StackedAutoencoder, TopK, Training, deep_autoencoder, make_stack
from embudo.engine.step import TrainingStep
from embudo.errors import InvalidParameter, TrainingInterrupted
from embudo.nn.layers import Dense


def two_levels(**params):
    """Return a small stack whose second level scales the codes of the first."""
    layers = [
        ("edges", Autoencoder(20, code_activation="tanh", training=QUICK, random_state=1)),
        ("parts", Autoencoder(5, encoder=MLP(8), scale="standard", training=QUICK, random_state=2)),
    ]
    return StackedAutoencoder(layers, **{"training": QUICK, "random_state": 0, **params})


def test_each_level_learns_the_codes_of_the_one_below():
    X = digits()
    greedy = two_levels(fine_tune=None).fit(X)
    edges = Autoencoder(20, code_activation="tanh", training=QUICK, random_state=1).fit(X)
    parts = clone(two_levels().layers[1][1]).fit(edges.transform(X))
    np.testing.assert_array_equal(greedy.codes(X)["edges"], edges.transform(X))
    np.testing.assert_array_equal(greedy.codes(X)["parts"], parts.transform(edges.transform(X)))
    expected = edges.inverse_transform(parts.inverse_transform(greedy.codes(X)["parts"]))
    np.testing.assert_allclose(greedy.reconstruct(X), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STACKS)
def test_the_unrolled_network_is_the_chain_of_its_levels(name):
    X = digits()
    stack = clone(STACKS[name]).fit(X)
    for level, codes in stack.codes(X).items():
        one_by_one = codes.toarray() if hasattr(codes, "toarray") else codes
        unrolled = stack.transform(X, level=level)
        unrolled = unrolled.toarray() if hasattr(unrolled, "toarray") else unrolled
        np.testing.assert_allclose(unrolled, one_by_one, rtol=1e-5, atol=1e-6)
        below = stack.inverse_transform(codes, level=level)
        for _, autoencoder in reversed(stack.layers_[: list(stack.codes(X)).index(level) + 1]):
            codes = autoencoder.inverse_transform(codes)
        np.testing.assert_allclose(below, codes, rtol=1e-5, atol=1e-6)
    assert list(stack.codes(X)) == [name for name, _ in stack.layers]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_stack_that_was_stopped_goes_on_at_its_level(stage, tmp_path):
    X = digits()
    whole = two_levels().fit(X)
    stack = two_levels(training=dataclasses.replace(QUICK, run_dir=tmp_path))
    with epochs_begun(stop=QUICK.epochs * stage + 2), pytest.warns(TrainingInterrupted):
        stack.fit(X)
    with epochs_begun() as begun:
        again = clone(stack).fit(X)
    assert begun == [2, 3, *[1, 2, 3] * (2 - stage)]
    assert (again.transform(X) == whole.transform(X)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edges", "fine-tuning", "parts"]
    assert [level.training for _, level in again.layers_] == [QUICK, QUICK]


def test_fine_tuning_changes_the_levels_for_they_share_their_weights():
    X = digits()
    greedy, tuned = two_levels(fine_tune=None).fit(X), two_levels().fit(X)
    assert tuned.score(X) > greedy.score(X)
    shared = {id(weight) for weight in tuned.module_.parameters()}
    assert {id(weight) for _, level in tuned.layers_ for weight in level.module_.parameters()} == shared
    assert not np.allclose(tuned.codes(X)["edges"], greedy.codes(X)["edges"])


def test_the_error_after_each_stage_is_recorded_and_said(capsys):
    X = digits()
    stack = two_levels(training=QUICK.with_params(verbose=True)).fit(X, X_val=X[:50])
    assert stack.stages_["stage"] == ["edges", "parts", "fine-tuning"]
    assert stack.stages_["n_components"] == [20, 5, 5]
    assert stack.stages_["epochs"] == [3, 3, 3]
    edges, _, tuned = stack.stages_["validation_error"]
    assert tuned == pytest.approx(stack.reconstruction_error(X[:50]).mean())
    alone = clone(two_levels().layers[0][1]).fit(X)
    assert edges == pytest.approx(alone.reconstruction_error(X[:50]).mean(), rel=1e-6)
    said = capsys.readouterr().err
    assert "parts: validation error" in said
    assert "fine-tuning  epoch 3/3" in said


def test_progress_shows_which_level_is_at_work(capsys):
    stack = two_levels().set_params(parts__training__verbose=True)
    stack.fit(digits())
    assert "parts (2/2)  epoch 3/3" in capsys.readouterr().err


def test_codes_are_computed_once_a_level_and_not_once_an_epoch(monkeypatch):
    calls = []
    transform = Autoencoder.transform
    monkeypatch.setattr(Autoencoder, "transform", lambda self, X: calls.append(len(X)) or transform(self, X))
    two_levels().fit(digits())
    assert calls == [200]


def test_a_share_is_held_out_from_all_levels(monkeypatch):
    seen = []
    fit = Autoencoder.fit
    monkeypatch.setattr(
        Autoencoder,
        "fit",
        lambda self, X, X_clean=None, X_val=None: seen.append((len(X), len(X_val[0]))) or fit(self, X, X_val=X_val),
    )
    two_levels(training=QUICK.with_params(validation_fraction=0.25)).fit(digits())
    assert seen == [(150, 50), (150, 50)]


def test_pairs_are_learnt_by_the_first_level_and_the_fine_tuning():
    X = digits()
    noisy = X + np.random.default_rng(0).normal(0, 0.3, X.shape)
    long = Training(60, verbose=False)
    layers = [("a", Autoencoder(40, code_activation="tanh", training=long)), ("b", Autoencoder(20, training=long))]
    stack = StackedAutoencoder(layers, training=long, random_state=0).fit(noisy, X_clean=X)
    assert np.square(stack.reconstruct(noisy) - X).sum(1).mean() < 0.5 * np.square(noisy - X).sum(1).mean()


def test_images_reach_the_first_level_as_images():
    images = (digits().reshape(-1, 8, 8) * 255).astype(np.uint8)
    stack = two_levels().fit(images)
    assert stack.layers_[0][1].sample_shape_ == (8, 8)
    assert stack.layers_[1][1].sample_shape_ is None
    assert stack.scaler_.kind == "pixels"
    assert stack.inverse_transform(stack.transform(images)).shape == images.shape


def test_ctrl_c_leaves_the_levels_learnt_so_far(monkeypatch):
    steps = []
    step = TrainingStep.__call__

    def interrupted(self, x, target):
        steps.append(x.shape[1])
        if steps.count(20) == 10:  # the second level, in its second epoch
            raise KeyboardInterrupt
        return step(self, x, target)

    monkeypatch.setattr(TrainingStep, "__call__", interrupted)
    stack = two_levels()
    with pytest.warns(TrainingInterrupted, match="after 1 of 3 epochs"):
        stack.fit(digits())
    assert stack.stages_["stage"] == ["edges", "parts"]
    assert stack.transform(digits()).shape == (200, 5)
    stopped_early = two_levels()
    stopped_early.layers.append(("more", Autoencoder(2, training=QUICK)))
    steps.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingInterrupted)
        stopped_early.fit(digits())
    assert list(stopped_early.codes(digits())) == ["edges", "parts"]


def test_nested_names_read_set_and_search():
    stack = two_levels()
    assert stack.get_params()["parts__encoder__hidden"] == (8,)
    stack.set_params(parts__n_components=7, edges=Autoencoder(30, training=QUICK), edges__sparsity=TopK(3))
    assert [level.n_components for _, level in stack.layers] == [30, 7]
    assert stack.layers[0][1].sparsity == TopK(3)
    untouched = clone(stack)
    stack.set_params(edges__n_components=9)
    assert untouched.get_params()["edges__n_components"] == 30
    search = GridSearchCV(two_levels(), {"parts__n_components": [1, 12], "training__epochs": [60]}, cv=2).fit(digits())
    assert search.best_params_["parts__n_components"] == 12
    assert search.best_estimator_.n_components_ == 12


def test_regression_on_codes_is_a_pipeline():
    X = digits()
    y = X[:, 20:40].sum(axis=1)
    model = make_pipeline(two_levels().set_params(parts__n_components=15, training__epochs=150), Ridge())
    assert model.fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.5


def test_a_made_stack_reconstructs_codes_by_their_own_activation():
    stack = make_stack(Autoencoder(code_activation="relu", loss="cross_entropy", output_activation="sigmoid"), (9, 4))
    first, second = (level for _, level in stack.layers)
    assert (first.output_activation, first.loss, first.n_components) == ("sigmoid", "cross_entropy", 9)
    assert (second.output_activation, second.loss, second.scale) == ("relu", "squared_error", None)
    deep = deep_autoencoder((1000, 500, 30)).layers
    assert [level.code_activation for _, level in deep] == ["sigmoid", "sigmoid", "identity"]
    assert all(level.loss == "cross_entropy" for _, level in deep)
    network = deep_autoencoder((20, 5), training=QUICK).set_params(level1__training=QUICK, level2__training=QUICK)
    network = network.fit(digits()).module_
    assert [tuple(layer.weight.shape) for layer in network.encoder if isinstance(layer, Dense)] == [(20, 64), (5, 20)]
    assert isinstance(network.decoder[1], torch.nn.Sigmoid)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"layers": []}, "must be a list such as"),
        ({"layers": [("a", 1)]}, "must be a list such as"),
        ({"layers": [("a", Autoencoder(2)), ("a", Autoencoder(1))]}, "names 'a' twice"),
        ({"layers": [("a__b", Autoencoder(2))]}, "word without '__'"),
        ({"layers": [("training", Autoencoder(2))]}, "no parameter of the stack"),
        ({"fine_tune": "supervised"}, "'reconstruction', None; got 'supervised'"),
        ({"corruption": 3}, "StackedAutoencoder.corruption must be a part"),
        ({"parts__tied": "no"}, "Autoencoder.tied"),
        ({"parts__training__patience": 3}, "Level 'parts': Training.patience needs validation"),
        ({"parts__encoder": ConvNet(4)}, "Level 'parts': ConvNet needs images, but X holds rows of 20 features"),
        ({"edges__encoder": ConvNet(4, image_shape=(9, 9))}, "Level 'edges': ConvNet.image_shape"),
        ({"training__patience": 3}, "needs validation"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_learnt(params, sentence, monkeypatch):
    monkeypatch.setattr(TrainingStep, "__call__", lambda *_: pytest.fail("it has begun to learn"))
    with pytest.raises(InvalidParameter, match=sentence):
        two_levels().set_params(**params).fit(digits())


def test_an_unknown_level_is_refused_with_a_guess():
    stack = two_levels().fit(digits())
    with pytest.raises(InvalidParameter, match="did you mean 'parts'"):
        stack.transform(digits(), level="part")
