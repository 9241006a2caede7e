"""Parts as text."""

import builtins
import functools
import operator
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from embudo.nn.activations import ACTIVATIONS
from embudo.parts.expression import LONGEST_TEXT, PARTS, parse
from embudo.parts.sparsities import BY
from embudo.parts.training import PRECISIONS, SCHEDULES

SIZES = st.integers(1, 10**6)
POSITIVE = st.floats(0, 1e300, exclude_min=True, allow_nan=False)
WEIGHTS = st.floats(0, 1e300, allow_nan=False)
SHARES = st.floats(0, 1, exclude_max=True, allow_nan=False)
CONVNETS = st.builds(
    ConvNet,
    st.lists(SIZES, min_size=1, max_size=5).map(tuple),
    kernel_size=st.sampled_from((3, 5, 7)),
    stride=st.integers(1, 3),
    residual_blocks=st.integers(0, 100),
    activation=st.sampled_from(list(ACTIVATIONS)),
    image_shape=st.none() | st.tuples(SIZES, SIZES) | st.tuples(SIZES, SIZES, SIZES),
)
MLPS = st.builds(MLP, st.lists(SIZES, max_size=5).map(tuple), activation=st.sampled_from(list(ACTIVATIONS)))
INSIDE = st.floats(0, 1, exclude_min=True, exclude_max=True, allow_nan=False)
CLOSED = st.floats(0, 1, allow_nan=False)


def sums(*strategies):
    """Return a strategy of one part, or of several joined by +."""
    several = st.lists(st.sampled_from(strategies), min_size=1, unique_by=id).flatmap(lambda chosen: st.tuples(*chosen))
    return several.map(lambda parts: functools.reduce(operator.add, parts))


PENALTIES = sums(
    st.builds(L1, WEIGHTS),
    st.builds(L2, WEIGHTS),
    st.builds(KLSparsity, INSIDE, weight=WEIGHTS, running=SHARES),
    st.builds(Contractive, WEIGHTS, probes=st.none() | SIZES),
    st.builds(Neighbours, WEIGHTS, n_neighbors=st.integers(2, 10**6), min_dist=SHARES),
)
CORRUPTIONS = sums(
    st.builds(GaussianNoise, WEIGHTS | st.tuples(st.floats(0.01, 1), st.floats(2, 9))),
    st.builds(MaskingNoise, SHARES, emphasis=CLOSED),
    st.builds(SaltAndPepper, SHARES, low=st.floats(-9, -1), high=st.floats(1, 9), emphasis=CLOSED),
)
SPARSITIES = st.one_of(
    st.builds(TopK, SIZES, by=st.sampled_from(BY), k_encode=st.none() | SIZES, anneal=CLOSED, revive=WEIGHTS),
    st.builds(BatchTopK, SIZES, by=st.sampled_from(BY), revive=WEIGHTS),
    st.builds(JumpReLU, WEIGHTS, threshold=POSITIVE, bandwidth=POSITIVE),
)
ADAMS = st.builds(Adam, POSITIVE, weight_decay=WEIGHTS, betas=st.tuples(SHARES, SHARES), eps=POSITIVE)
SGDS = st.builds(
    SGD, POSITIVE, weight_decay=WEIGHTS, momentum=st.floats(0.1, 1, exclude_max=True), nesterov=st.booleans()
)
TRAININGS = st.builds(
    Training,
    SIZES,
    batch_size=st.one_of(st.just("auto"), SIZES),
    optimizer=st.one_of(ADAMS, SGDS),
    validation_fraction=SHARES,
    patience=st.none() | SIZES,
    schedule=st.sampled_from([None, *SCHEDULES]),
    clip=st.none() | POSITIVE,
    device=st.text(max_size=8),
    precision=st.sampled_from(PRECISIONS),
    compile=st.booleans(),
    shard=st.booleans(),
    run_dir=st.sampled_from([None, "runs/first", "it's"]),
    log_dir=st.sampled_from([None, "logs"]),
    verbose=st.sampled_from(["auto", True, False]),
)


@settings(max_examples=250, deadline=None)
@given(part=st.one_of(MLPS, CONVNETS, PENALTIES, CORRUPTIONS, SPARSITIES, ADAMS, SGDS, TRAININGS))
def test_what_a_part_prints_builds_it_again(part):
    again = parse(repr(part))
    assert again == part
    assert type(again) is type(part)
    assert repr(again) == repr(part)


def test_every_part_is_covered_by_the_round_trip():
    drawn = {MLP, ConvNet, Training, Adam, SGD, L1, L2, KLSparsity, Contractive, Neighbours}
    drawn |= {GaussianNoise, MaskingNoise, SaltAndPepper, TopK, BatchTopK, JumpReLU}
    assert set(PARTS.values()) == drawn


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("L2(0.1) + L1(1e-4)", L2(0.1) + L1(1e-4)),
        ("  L1( weight = 2 )  ", L1(2)),
        ("MLP", MLP()),
        ("MLP()", MLP()),
        ("MLP(64)", MLP((64,))),
        ("ConvNet((32, 64), kernel_size=5)", ConvNet(kernel_size=5)),
        ("ConvNet(8, image_shape=[28, 28])", ConvNet((8,), image_shape=(28, 28))),
        ("MLP([512, 256], activation='tanh')", MLP((512, 256), activation="tanh")),
        ("Training(5, optimizer=SGD(1, momentum=0.5))", Training(5, optimizer=SGD(1, momentum=0.5))),
        ("Training(optimizer=Adam)", Training(optimizer=Adam())),
        ("None", None),
        ("True", True),
        ("-3", -3),
        ("1e-3", 1e-3),
        ("'relu'", "relu"),
        ("(1, 'a', None)", (1, "a", None)),
        ("1 + 2", 3),
        ("{'spam': 2.5, -1: 1}", {"spam": 2.5, -1: 1}),
    ],
)
def test_parts_and_literals_are_read(text, value):
    assert parse(text) == value
    assert type(parse(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "L3(1)",
            r"Unknown part 'L3' in 'L3\(1\)'; known are MLP, ConvNet, Training, Adam, SGD, .*, Neighbours\.",
        ),
        ("Trainin(5)", r"Unknown part 'Trainin'.*\(did you mean 'Training'\?\); known are MLP, ConvNet, "),
        ("Adm", r"Unknown name 'Adm' .*\(did you mean 'Adam'\?\)"),
        ("MLP(8, activaton='relu')", r"MLP has no parameter 'activaton' \(did you mean 'activation'\?\)"),
        ("MLP(8, activation='rellu')", r"MLP\.activation must be one of .*got 'rellu' \(did you mean 'relu'\?\)"),
        ("Training(schedule='cosin')", r"got 'cosin' \(did you mean 'cosine'\?\)"),
        ("MLP(8, 'relu')", r"MLP takes one argument by position, 'hidden', and the others by name; got 2"),
        ("MLP(8, hidden=8)", r"MLP is given 'hidden' twice"),
        ("L1()", r"L1 needs 'weight', as in 'L1\(weight=\.\.\.\)'"),
        ("L1", r"L1 needs 'weight'"),
        ("L1(-1)", r"L1\.weight must be a number at least 0; got -1"),
        ("L1(1) + L1(2)", r"^L1\(1\) \+ L1\(2\) holds L1 twice: give it once\.$"),
        ("L1(1) + MaskingNoise(0.1)", r"Cannot add L1\(1\) and MaskingNoise\(0\.1\)"),
        ("TopK(3) + TopK(4)", r"Cannot add TopK\(3\) and TopK\(4\)"),
        ("MaskingNoise(0.1) + 2", r"Cannot add"),
        ("Contractive(0.1, 3)", r"Contractive takes one argument by position, 'weight'"),
        ("L1(1) + 2", r"Cannot add L1\(1\) and 2"),
        ("L1(1) - L2(1)", r"Cannot read 'L1\(1\) - L2\(1\)'"),
        ("2 * L1(1)", r"only parts, numbers, strings, tuples and dicts"),
        ("L1(**{})", r"L1 has no parameter None"),
        ("L1(*[1])", r"only parts, numbers"),
        ("L1(1", r"Cannot read 'L1\(1': expected a description such as 'L2\(1e-4\)'"),
        ("", r"Cannot read ''"),
        ("L1(1); L2(1)", r"Cannot read"),
        ("x = 1", r"Cannot read"),
        ("1j", r"only parts, numbers"),
        ("{**{}}", r"only parts, numbers"),
        ("{(1,): 2}", r"only parts, numbers"),
        ("{-L1(1): 2}", r"only parts, numbers"),
        ("b'a'", r"only parts, numbers"),
        ("...", r"only parts, numbers"),
        ("\0", r"Cannot read"),
        ("(" * 5000, r"Cannot read"),
        ("-" * 9000 + "1", r"Cannot read"),
        ("1" * 9000, r"Cannot read"),
        ("9" * (LONGEST_TEXT + 1), r"has at most 10000 characters; got 10001"),
    ],
)
def test_text_that_is_no_description_is_refused_in_one_sentence(text, words):
    with pytest.raises(InvalidParameter, match=words) as error:
        parse(text)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "eval('1')",
        "open('x')",
        "().__class__.__bases__",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "f'{1}'",
        "L1(weight=exit())",
        "MLP.__init__",
        "print",
        "(x := 1)",
        "10**10**10",
        "'a' * 10**10",
        "'%1000000000d' % 1",
        "1 if L1 else 2",
        "{print: 1}",
        "await x",
    ],
)
def test_code_is_refused_and_not_run(text, monkeypatch):
    def ran(*args):
        raise AssertionError("the text was run")

    monkeypatch.setattr(os, "system", ran)
    for name in ("eval", "exec", "open", "print"):
        monkeypatch.setattr(builtins, name, ran)
    with pytest.raises(InvalidParameter):
        parse(text)


TOKENS = ["L1", "L2(", "MLP(", "Training(", "Adam", "(", ")", "[", "]", ",", "+", "-", "*", "=", "1", "1e9", "'a'", " "]
TOKENS += ["None", "hidden=", "weight=", "optimizer=", "\n", "\\", "#", ".", ":", "lambda", "é", "\0", "{", "}", "'"]


@settings(max_examples=400, deadline=None)
@given(text=st.one_of(st.text(max_size=60), st.lists(st.sampled_from(TOKENS), max_size=25).map("".join)))
def test_any_text_is_read_or_refused_by_our_own_error(text):
    sentence = "It is read."
    try:
        parse(text)
    except InvalidParameter as error:
        sentence = str(error)
    assert sentence.endswith(".")
    assert "\n" not in sentence
