"""Each rule fires where it should, alone, and is silent where all is well: on figures, and on fitted models."""

import dataclasses

import numpy as np
import pytest
from zoo import digits

from embudo import L1, MLP, SGD, Adam, Autoencoder, GaussianNoise, TopK, Training
from embudo.report.doctor import RULES, Case, examine, name_of
from embudo.report.page import Report

FALLEN = [10.0, 5.0, 3.0, 2.0, 1.5, 1.25, 1.15, 1.1, 1.08, 1.06, 1.05, 1.045, 1.04]
HISTORY = {"loss": FALLEN, "validation_loss": [1.1 * loss for loss in FALLEN]}
NOISE = {"fvu": 0.2, "pca_fvu": 0.3}
WELL = Case(
    facts={
        "fvu": 0.1,
        "pca_fvu": 0.2,
        "l0": 10,
        "dead_units": 0,
        "saturation": None,
        "noise": {"GaussianNoise(0.1)": NOISE, "GaussianNoise(0.4)": NOISE},
    },
    history=HISTORY,
    n_features=64,
    n_components=10,
    errors=np.ones(200),
    deviations=np.ones(10),
    parts={"penalty": None, "sparsity": None, "corruption": None, "loss": "squared_error"},
)


def changed(facts=(), parts=(), history=(), **fields):
    """Return the case where all is well but for what is given."""
    return dataclasses.replace(
        WELL,
        facts=WELL.facts | dict(facts),
        parts=WELL.parts | dict(parts),
        history=HISTORY | dict(history),
        **fields,
    )


def with_validation(*losses):
    return {"loss": FALLEN, "validation_loss": list(losses)}


WORSE = {name: {"fvu": 0.4, "pca_fvu": 0.3} for name in ("a", "b")}
STEADY = np.full(13, 1.0)
UNSTEADY = [5, 6, 4, 5, 3, 4, 2, 1.05, 1.045, 1.04]
#: rule: (a case in which it fires, one close by in which it is silent)
CASES = {
    "pca does better": (changed({"fvu": 0.21}), changed({"fvu": 0.203})),
    "little is explained": (changed({"fvu": 0.85, "pca_fvu": 0.9}), changed({"fvu": 0.75, "pca_fvu": 0.9})),
    "units are dead": (changed({"dead_units": 1}), changed({"dead_units": 1}, n_components=20)),
    "units are idle": (
        changed(deviations=np.r_[np.ones(9), 0.005]),
        changed({"dead_units": 1}, deviations=np.r_[np.ones(19), 0.0], n_components=20),
    ),
    "units are saturated": (changed({"saturation": 0.9}), changed({"saturation": 0.9}, {"penalty": L1(0.1)})),
    "nothing keeps it from copying": (
        changed(n_components=64),
        changed(n_components=64, parts={"corruption": GaussianNoise(0.1)}),
    ),
    "loss still fell": (
        changed(history=with_validation(*FALLEN[:-1], 1.0)),
        changed(history={"loss": [*FALLEN[:-1], 0.9]}),
    ),
    "loss is unsteady": (changed(history={"loss": UNSTEADY}), changed(history={"loss": [5, 6, 4, 5, *FALLEN[-9:]]})),
    "validation rose": (
        changed(history=with_validation(1.5, 1.0, 1.0, 1.2)),
        changed(history=with_validation(1.5, 1.0, 1.0, 1.2), stopped_early=True),
    ),
    "learnt by heart": (
        changed(history=with_validation(*STEADY * 1.6)),
        changed(history=with_validation(*STEADY * 1.5)),
    ),
    "samples are unlike those learnt": (changed(errors=np.full(200, 2.2)), changed(errors=np.full(200, 2.0))),
    "noise hurts": (changed({"noise": WORSE}), changed({"noise": WORSE | {"c": NOISE, "d": NOISE, "e": NOISE}})),
    "few samples make the error": (
        changed(errors=np.r_[np.full(198, 0.5), 20, 20]),
        changed(errors=np.r_[np.full(90, 0.5), 20, 20]),
    ),
    "nothing was held out": (
        dataclasses.replace(WELL, history={"loss": FALLEN}),
        dataclasses.replace(WELL, history={}),
    ),
}


def fired(case):
    return [finding.rule for finding in examine(case)]


def test_every_rule_has_its_cases_and_a_well_model_has_no_finding():
    assert [name_of(rule) for rule in RULES] == list(CASES)
    assert fired(WELL) == []


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_alone_or_not_at_all(rule):
    ill, well = CASES[rule]
    assert fired(ill) == [rule]
    assert rule not in fired(well)
    (finding,) = examine(ill)
    for sentence in (finding.what, finding.advice):
        assert sentence.endswith((".", "?"))
        assert "nan" not in sentence


def test_pca_that_copies_does_no_better():
    assert fired(changed({"fvu": 0.3, "pca_fvu": 0.0}, {"sparsity": TopK(20)}, n_components=64)) == []


def test_advice_depends_on_what_the_model_is_made_of():
    (sparse,) = examine(changed({"fvu": 0.3, "l0": 2}))
    (costly,) = examine(changed({"fvu": 0.3}, {"penalty": L1(0.1)}))
    (plain,) = examine(changed({"fvu": 0.3}))
    assert "let more speak" in sparse.advice
    assert "weight of the penalty" in costly.advice
    assert plain.advice == "Train longer or raise the learning rate."
    (linear,) = examine(changed({"fvu": 0.3}, linear=True))
    assert 'init="pca"' in linear.advice
    dead = [examine(changed({"dead_units": 4}, parts))[0] for parts in ({}, {"penalty": L1(1)}, {"sparsity": TopK(3)})]
    assert dead[0].what == "40% of the units are dead: 4 of 10 never speak on these samples."
    assert ["leaky_relu" in dead[0].advice, "penalty" in dead[1].advice, "revive" in dead[2].advice] == [True] * 3


# ---------------------------------------------------------------------- models that were fitted

X = digits(n_samples=400)


def findings(n_components=8, data=X, learnt=X, **params):
    ae = Autoencoder(n_components, random_state=0, **params).fit(learnt)
    return {finding.rule: finding for finding in Report(ae, data).findings}


def test_a_model_that_learnt_well_has_no_finding():
    training = Training(60, optimizer=Adam(3e-3), schedule="warmup_cosine", validation_fraction=0.2)
    net = MLP(64, activation="gelu")
    assert findings(encoder=net, corruption=GaussianNoise(0.1), training=training) == {}


def test_one_that_hardly_learnt_is_told_to_train_longer():
    found = findings(training=Training(3, optimizer=SGD(1e-4), schedule=None, validation_fraction=0.2))
    assert {"pca does better", "little is explained"} <= set(found)
    assert found["pca does better"].advice.startswith("Train longer, raise the learning rate")


def test_one_with_far_too_many_units_is_told_which_share_is_dead():
    found = findings(500, sparsity=TopK(2), training=Training(10))
    assert "of 500 never speak" in found["units are dead"].what
    assert "nothing keeps it from copying" not in found
    assert "units are dead" not in findings(16, training=Training(10))


def test_one_that_learnt_few_samples_by_heart_is_found_out():
    training = Training(200, optimizer=Adam(3e-3), validation_fraction=0.5)
    found = findings(30, learnt=X[:40], encoder=MLP((256,), activation="gelu"), training=training)
    assert {"learnt by heart", "samples are unlike those learnt"} <= set(found)


def test_an_outlier_of_the_data_makes_most_of_the_error():
    spoilt = X.copy()
    spoilt[7] = np.tile([0, 30], 32)
    found = findings(data=spoilt, training=Training(30, validation_fraction=0.1))
    assert found["few samples make the error"].what.startswith("4 of 400 samples make")


def test_a_large_code_may_copy_and_a_code_with_idle_units_is_too_large():
    plane = np.random.default_rng(0).normal(size=(300, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
    found = findings(6, data=plane, learnt=plane, init="pca", scale=None, training=Training(1, optimizer=Adam(1e-30)))
    assert {"nothing keeps it from copying", "nothing was held out"} <= set(found)
    assert found["units are idle"].advice == "A code of 2 units would do as well."
