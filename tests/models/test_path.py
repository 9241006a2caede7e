"""The path of the data is drawn below scikit-learn's diagram, and never in its way."""

import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from zoo import digits

from embudo import L2, MLP, Autoencoder, GaussianNoise, StackedAutoencoder, TopK, Training
from embudo.models.path import stations

QUICK = Training(1)


def test_a_fitted_path_knows_its_sizes():
    ae = Autoencoder(6, encoder=MLP(12), sparsity=TopK(2), penalty=L2(0.1), training=QUICK).fit(
        digits(n_samples=50).reshape(-1, 8, 8)
    )
    assert [tuple(station) for station in stations(ae)] == [
        ("x", "8 x 8"),
        ("encoder", "MLP((12,))"),
        ("sparsity", "TopK(2)"),
        ("code", "6 units, identity"),
        ("decoder", "MLP((12,))"),
        ("x'", "identity"),
        ("cost", "squared_error + L2(0.1)"),
    ]


def test_a_stack_goes_up_and_down():
    stack = StackedAutoencoder([("a", Autoencoder(16, training=QUICK)), ("b", Autoencoder())], corruption=max)
    names = ["x", "corruption", "a", "b", "b back", "a back", "x'"]
    assert [station.name for station in stations(stack)] == names
    assert stations(stack)[1:4] == [
        ("corruption", "max, in training"),
        ("a", "16 units"),
        ("b", "half the units below"),
    ]
    fitted = stack.set_params(b__training=QUICK, training=QUICK, corruption=None).fit(digits(n_samples=50))
    assert stations(fitted)[2] == ("b", "8 units")


@pytest.mark.parametrize("ae", [Autoencoder(), Autoencoder("<b>", encoder="<i>"), StackedAutoencoder("<script>")])
def test_notebooks_show_the_diagram_and_the_path_of_whatever_was_given(ae):
    shown = ae._repr_mimebundle_()["text/html"]
    diagram, _, path = shown.partition('<div class="embudo-path"')
    assert len(diagram) == pytest.approx(len(estimator_html_repr(ae)), abs=9)  # they are numbered
    assert ae._repr_html_().endswith(path)
    assert path.count("<span") == len(stations(ae))
    assert "<i>" not in path
    assert "<script>" not in path


def test_text_is_shown_where_scikit_learn_is_set_to_it():
    ae = Autoencoder(4)
    with config_context(display="text"):
        assert not hasattr(ae, "_repr_html_")
        assert "text/html" not in ae._repr_mimebundle_()


def test_a_pipeline_draws_its_own():
    drawn = make_pipeline(Autoencoder(4, corruption=GaussianNoise(0.1)))._repr_mimebundle_()["text/html"]
    assert "Autoencoder" in drawn
    assert "embudo-path" not in drawn
