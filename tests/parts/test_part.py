"""The rules that every part keeps."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from sklearn.base import clone

from embudo import (
    L1,
    L2,
    MLP,
    SGD,
    Adam,
    BatchTopK,
    Contractive,
    ConvNet,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    Neighbours,
    SaltAndPepper,
    TopK,
    Training,
)
from embudo.errors import InvalidParameter
from embudo.parts.expression import PARTS

SUM = L2(0.5) + L1(0.25)
EXAMPLES = [
    MLP((8, 4), activation="tanh"),
    ConvNet((8, 4), kernel_size=4, residual_blocks=1, image_shape=(28, 28, 3)),
    L1(0.1),
    L2(0.2),
    SUM,
    Adam(0.01, weight_decay=0.1),
    SGD(0.1, momentum=0.9, nesterov=True),
    Training(3, optimizer=SGD(0.1), patience=2),
    GaussianNoise(0.1),
    MaskingNoise(0.5, emphasis=0.75),
    SaltAndPepper(0.5, low=-1.0),
    GaussianNoise(0.1) + MaskingNoise(0.5),
    TopK(3, k_encode=9, anneal=0.5),
    BatchTopK(3, by="value"),
    JumpReLU(0.1, bandwidth=0.2),
    KLSparsity(0.1, running=0.9),
    Contractive(0.5, probes=2),
    Neighbours(2.0, n_neighbors=30),
]


def names(part):
    return type(part).__name__


@pytest.mark.parametrize("part", EXAMPLES, ids=names)
def test_a_part_cannot_be_changed(part):
    for field in dataclasses.fields(part):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, field.name, 1)


@pytest.mark.parametrize("part", EXAMPLES, ids=names)
def test_equal_parts_are_one_key(part):
    again = copy.deepcopy(part)
    assert again == part
    assert hash(again) == hash(part)
    assert len({part, again}) == 1


@pytest.mark.parametrize("part", EXAMPLES, ids=names)
def test_a_clone_is_the_part_itself_and_a_pickle_its_equal(part):
    assert clone(part) is part
    assert pickle.loads(pickle.dumps(part)) == part


def test_every_part_has_an_example():
    assert {type(part) for part in EXAMPLES} >= set(PARTS.values())


def test_only_the_first_field_is_given_by_position():
    for kind in PARTS.values():
        first, *others = dataclasses.fields(kind)
        assert not first.kw_only
        assert all(field.kw_only for field in others)


@pytest.mark.parametrize(
    ("part", "deep"),
    [
        (L1(0.1), {"weight": 0.1}),
        (MLP((3,)), {"hidden": (3,), "activation": "relu", "unit_norm": False}),
        (SUM, {"l2": L2(0.5), "l1": L1(0.25), "l2__weight": 0.5, "l1__weight": 0.25}),
    ],
)
def test_params_are_given_by_name_and_deep_ones_by_nested_name(part, deep):
    assert part.get_params() == deep
    assert part.get_params(deep=False) == {name: value for name, value in deep.items() if "__" not in name}


def test_the_params_of_an_optimizer_appear_within_those_of_the_training():
    params = Training(optimizer=Adam(0.5)).get_params()
    assert params["optimizer"] == Adam(0.5)
    assert params["optimizer__lr"] == 0.5
    assert params["optimizer__betas"] == (0.9, 0.999)


@pytest.mark.parametrize(
    ("part", "params", "expected"),
    [
        (L1(0.1), {"weight": 2}, L1(2)),
        (Training(9, optimizer=Adam()), {"epochs": 3, "optimizer__lr": 0.5}, Training(3, optimizer=Adam(0.5))),
        (Training(), {"optimizer": SGD(1), "optimizer__momentum": 0.5}, Training(optimizer=SGD(1, momentum=0.5))),
        (SUM, {"l1__weight": 7}, L2(0.5) + L1(7)),
        (SUM, {"l2": L2(3)}, L2(3) + L1(0.25)),
        (SUM, {}, SUM),
    ],
)
def test_with_params_makes_a_new_part_and_leaves_the_old(part, params, expected):
    before = repr(part)
    assert part.with_params(**params) == expected
    assert repr(part) == before


@pytest.mark.parametrize(
    ("part", "params", "words"),
    [
        (L1(0.1), {"weigth": 2}, r"^L1 has no parameter 'weigth' \(did you mean 'weight'\?\); it has weight\.$"),
        (Training(), {"optimizer__lrr": 1}, r"^Adam has no parameter 'lrr' \(did you mean 'lr'\?\); it has lr, "),
        (Training(), {"epochs__lr": 1}, r"^epochs__lr cannot be set while Training\.epochs is 'auto': set epochs"),
        (SUM, {"l3__weight": 1}, r"^L2\(0\.5\) \+ L1\(0\.25\) has no parameter 'l3'; it has l2, l1\.$"),
        (SUM, {"l1__weight": -1}, r"^L1\.weight must be a number at least 0; got -1\.$"),
    ],
)
def test_with_params_refuses_unknown_names_and_bad_values(part, params, words):
    with pytest.raises(InvalidParameter, match=words):
        part.with_params(**params)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Training(lr=1),
            r"^Training has no parameter 'lr' of its own: write optimizer=Adam\(lr=\.\.\.\), or set ",
        ),
        (lambda: Training(learning_rate=1), r"'learning_rate' of its own: .*, or set optimizer__lr\.$"),
        (lambda: Training(max_iter=1), r"'max_iter' \(did you mean 'epochs'\?\); it has epochs, batch_size, "),
        (lambda: L1(weigth=1), r"^L1 has no parameter 'weigth' \(did you mean 'weight'\?\); it has weight\.$"),
        (lambda: L1(0.1, dropout=1), r"^L1 has no parameter 'dropout'; it has weight\.$"),
    ],
)
def test_a_name_that_is_no_field_is_refused_with_the_part_that_has_it(make, words):
    with pytest.raises(InvalidParameter, match=words) as error:
        make()
    assert isinstance(error.value, TypeError)


def test_sums_are_flat_and_keep_their_order():
    assert repr(L1(1) + L2(2)) == "L1(1) + L2(2)"
    assert list((L1(1) + L2(2)).terms) == ["l1", "l2"]
    assert list(L1(1).terms) == ["l1"]
    assert L1(1) + L2(2) != L2(2) + L1(1)


@pytest.mark.parametrize("twice", [lambda: L1(1) + L1(2), lambda: SUM + L1(1), lambda: L2(1) + L1(1) + L1(2)])
def test_a_sum_of_one_kind_twice_is_refused(twice):
    with pytest.raises(InvalidParameter, match=r"L1\(.*\) \+ L1\(.*\) holds L1 twice: give it once\.$"):
        twice()


@pytest.mark.parametrize(
    ("part", "other"), [(L1(1), 2), (L1(1), MaskingNoise()), (MaskingNoise(), L1(1)), (TopK(), L1(1))]
)
def test_parts_of_different_families_cannot_be_added(part, other):
    with pytest.raises(TypeError):
        part + other


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (L1(np.float64(0.5)), "L1(0.5)"),
        (L1(np.float32(0.5)), "L1(0.5)"),
        (Training(np.int64(3), clip=np.float16(2)), "Training(3, clip=2.0)"),
        (MLP(np.int32(4)), "MLP((4,))"),
        (MLP((np.int64(4), 2)), "MLP((4, 2))"),
        (MLP(np.array([4, 2])), "MLP((4, 2))"),
        (MLP([4, 2]), "MLP((4, 2))"),
        (Adam(betas=[np.float64(0.5), 0.75]), "Adam(betas=(0.5, 0.75))"),
        (SGD(1, momentum=0.5, nesterov=np.True_), "SGD(1, momentum=0.5, nesterov=True)"),
    ],
)
def test_numpy_values_become_python_values(part, text):
    assert repr(part) == text
