"""Parts refuse bad values when they are built, in one sentence."""

import itertools
import math

import pytest

from embudo import L1, L2, MLP, SGD, Adam, ConvNet, Training
from embudo.errors import InvalidParameter
from embudo.parts.training import SCHEDULES

NAN, INF = math.nan, math.inf

TABLE = [
    *[
        (lambda v=v: Training(v), rf'^Training\.epochs \(when not "auto"\) must be an integer at least 1; got {v!r}\.$')
        for v in (0, -1, 2.5)
    ],
    (lambda: Training("5"), r"""^Training\.epochs \(when not "auto"\) must be an integer at least 1; got '5'\.$"""),
    (lambda: Training(True), r'^Training\.epochs \(when not "auto"\) must be an integer at least 1; got True\.$'),
    (lambda: Training(steps=0), r"^Training\.steps \(when not None\) must be an integer at least 1; got 0\.$"),
    (lambda: Training(None), r'^Training\.epochs \(when not "auto"\) must be .*; got None\.$'),
    (
        lambda: Training(batch_size=0),
        r'^Training\.batch_size \(when not "auto"\) must be an integer at least 1; got 0\.$',
    ),
    (lambda: Training(batch_size="all"), r"^Training\.batch_size .* got 'all'\.$"),
    (
        lambda: Training(optimizer="adam"),
        r"^Training\.optimizer must be an optimizer such as Adam\(1e-3\); got 'adam'\.$",
    ),
    (lambda: Training(optimizer=L1(1)), r"^Training\.optimizer must be .* got L1\(1\)\.$"),
    (
        lambda: Training(optimizer=Adam),
        r"^Training\.optimizer must be an optimizer such as Adam\(1e-3\); got <class .*\.$",
    ),
    *[
        (
            lambda v=v: Training(validation_fraction=v),
            r"^Training\.validation_fraction must be a number at least 0 and less",
        )
        for v in (-0.1, 1, 1.5, NAN, "0.1")
    ],
    (lambda: Training(patience=0), r"^Training\.patience must be an integer at least 1; got 0\.$"),
    (lambda: Training(schedule="cosin"), r"^Training\.schedule must be one of None, .* \(did you mean 'cosine'\?\)\.$"),
    *[
        (lambda v=v: Training(clip=v), r"^Training\.clip must be a number greater than 0; got")
        for v in (0, -1, NAN, INF)
    ],
    (lambda: Training(device=0), r'^Training\.device must be a name such as "cpu"; got 0\.$'),
    (lambda: Training(precision="float23"), r"^Training\.precision must be one of .* \(did you mean 'float32'\?\)\.$"),
    *[
        (lambda v=v, f=f: Training(**{f: v}), rf"^Training\.{f} must be the name of a folder, or None; got {v!r}\.$")
        for f in ("run_dir", "log_dir")
        for v in ("", 3, b"runs")
    ],
    (lambda: Training(compile=1.5), r"^Training\.compile must be one of True, False; got 1\.5\.$"),
    (lambda: Training(shard="yes"), r"^Training\.shard must be one of True, False; got 'yes'\.$"),
    (lambda: Training(verbose=2), r"^Training\.verbose must be one of 'auto', True, False; got 2\.$"),
    *[
        (lambda kind=kind, v=v: kind(v), rf"^{kind.__name__}\.lr must be a number greater than 0; got {v!r}\.$")
        for kind in (Adam, SGD)
        for v in (0, -1.0, NAN, INF, "fast", None)
    ],
    *[
        (
            lambda kind=kind: kind(weight_decay=-1),
            rf"^{kind.__name__}\.weight_decay must be a number at least 0; got -1\.$",
        )
        for kind in (Adam, SGD)
    ],
    (lambda: Adam(betas=0.9), r"^Adam\.betas must be a pair of numbers; got 0\.9\.$"),
    (lambda: Adam(betas=(0.9,)), r"^Adam\.betas must be a pair of numbers; got \(0\.9,\)\.$"),
    (
        lambda: Adam(betas=(0.9, 1.0)),
        r"^A number in Adam\.betas must be a number at least 0 and less than 1; got 1\.0\.$",
    ),
    (lambda: Adam(eps=0), r"^Adam\.eps must be a number greater than 0; got 0\.$"),
    (lambda: SGD(momentum=1), r"^SGD\.momentum must be a number at least 0 and less than 1; got 1\.$"),
    (lambda: SGD(nesterov=True), r"^SGD\.nesterov needs momentum greater than 0; got momentum=0\.0\.$"),
    (lambda: SGD(momentum=0.5, nesterov="no"), r"^SGD\.nesterov must be one of True, False; got 'no'\.$"),
    *[
        (lambda v=v: MLP((8, v)), r"^A size in MLP\.hidden must be an integer at least 1; got")
        for v in (0, -2, 2.5, "8")
    ],
    (lambda: MLP(True), r"^MLP\.hidden must be a tuple of layer sizes; got True\.$"),
    (lambda: MLP("64"), r"^MLP\.hidden must be a tuple of layer sizes; got '64'\.$"),
    (lambda: MLP(8, activation="rellu"), r"^MLP\.activation must be one of .* \(did you mean 'relu'\?\)\.$"),
    (lambda: MLP(8, activation=None), r"^MLP\.activation must be one of .*; got None\.$"),
    *[
        (lambda v=v: ConvNet((8, v)), r"^A size in ConvNet\.channels must be an integer at least 1; got")
        for v in (0, -2, 2.5, "8")
    ],
    *[
        (lambda v=v: ConvNet(v), r"^ConvNet\.channels must be a tuple of at least one size; got")
        for v in ((), True, "64", None)
    ],
    (lambda: ConvNet(kernel_size=0), r"^ConvNet\.kernel_size must be an integer at least 1; got 0\.$"),
    (lambda: ConvNet(kernel_size=(3, 3)), r"^ConvNet\.kernel_size must be an integer at least 1; got \(3, 3\)\.$"),
    (lambda: ConvNet(stride=4), r"^ConvNet\.stride must be an integer at least 1 and at most 3; got 4\.$"),
    (lambda: ConvNet(kernel_size=4, stride=1), r"^ConvNet\.kernel_size must be odd where stride is 1; got 4\.$"),
    (lambda: ConvNet(residual_blocks=-1), r"^ConvNet\.residual_blocks must be an integer at least 0 and at most 100"),
    (lambda: ConvNet(residual_blocks=10**9), r"^ConvNet\.residual_blocks must be .* at most 100; got 1000000000\.$"),
    (lambda: ConvNet(activation="gleu"), r"^ConvNet\.activation must be one of .* \(did you mean 'gelu'\?\)\.$"),
    *[
        (
            lambda v=v: ConvNet(image_shape=v),
            r"^ConvNet\.image_shape must be \(height, width\) or \(height, width, chan",
        )
        for v in (28, (28,), (1, 2, 3, 4), "28x28")
    ],
    (lambda: ConvNet(image_shape=(28, 0)), r"^A size in ConvNet\.image_shape must be an integer at least 1; got 0\.$"),
    *[
        (lambda kind=kind, v=v: kind(v), rf"^{kind.__name__}\.weight must be a number at least 0; got {v!r}\.$")
        for kind in (L1, L2)
        for v in (-1, NAN, INF, "1", None, True)
    ],
]


@pytest.mark.parametrize(("build", "words"), TABLE)
def test_a_bad_value_is_refused_in_one_sentence(build, words):
    with pytest.raises(InvalidParameter, match=words) as error:
        build()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        (None, (1, 1, 1)),
        ("cosine", (1, 0.5, 0)),
        ("linear", (1, 0.5, 0)),
        ("exponential", (1, 0.1, 0.01)),
        ("warmup_cosine", (0, 0.5 * (1 + math.cos(math.pi * 0.45 / 0.95)), 0)),
    ],
)
def test_a_schedule_has_its_closed_form_at_start_half_and_end(schedule, shares):
    training = Training(schedule=schedule)
    assert [training.learning_rate_share(done) for done in (0, 0.5, 1)] == pytest.approx(shares, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_is_continuous_and_stays_in_the_unit_interval(schedule):
    shares = [Training(schedule=schedule).learning_rate_share(i / 1000) for i in range(1001)]
    assert all(0 <= share <= 1 for share in shares)
    assert max(abs(b - a) for a, b in itertools.pairwise(shares)) <= 0.021


def test_the_warm_up_ends_near_the_full_rate_after_a_twentieth():
    assert Training(schedule="warmup_cosine").learning_rate_share(0.05) == pytest.approx(1)


@pytest.mark.parametrize(
    ("n_samples", "rows"), [(2, 16), (320, 16), (1797, 89), (5119, 255), (5120, 256), (60_000, 256)]
)
def test_an_automatic_batch_is_a_twentieth_within_bounds(n_samples, rows):
    assert Training().batch_rows(n_samples) == rows
    assert Training(batch_size=7).batch_rows(n_samples) == 7


@pytest.mark.parametrize(
    ("training", "n_samples", "epochs"),
    [
        (Training(steps=500, batch_size=100), 1000, 50),
        (Training(steps=501, batch_size=100), 950, 51),
        (Training(steps=5, batch_size=100), 1000, 1),
        (Training(30, steps=500, batch_size=100), 1000, 30),
        (Training(80, steps=500, batch_size=100), 1000, 50),
        (Training(batch_size=100), 1000, 200),
        (Training(batch_size=100), 100_000, 20),
    ],
)
def test_steps_bound_the_passes(training, n_samples, epochs):
    assert training.n_epochs(n_samples) == epochs
