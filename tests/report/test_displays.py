"""Displays compute what they say, draw it on the axes they are given, and again as often as wanted."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import scipy.sparse
from matplotlib.figure import Figure
from sklearn.datasets import load_digits, load_sample_images, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

import embudo.report
from embudo import (
    L1,
    L2,
    Autoencoder,
    ConvNet,
    GaussianNoise,
    ImageCodec,
    ImageDenoiser,
    StackedAutoencoder,
    TopK,
    Training,
)
from embudo.errors import InvalidData, InvalidParameter
from embudo.metrics.reconstruction import psnr
from embudo.report import (
    AnomalyScoreDisplay,
    CodeDisplay,
    DenoisingDisplay,
    FilterDisplay,
    HierarchyDisplay,
    MapDisplay,
    PCAComparisonDisplay,
    RateDistortionDisplay,
    ReconstructionDisplay,
    RobustnessDisplay,
    TrainingDisplay,
    TraversalDisplay,
)

mpl.use("Agg")
IMAGES, Y = load_digits().images[:300] / 16, load_digits().target[:300]
ROWS = IMAGES.reshape(300, 64)
WINE = load_wine(as_frame=True).data
QUICK = Training(2)


def axes(**options):
    return Figure().add_subplot(**options)


def of_images(**params):
    return Autoencoder(**{"n_components": 4, "training": QUICK, "random_state": 0, **params}).fit(IMAGES)


@pytest.fixture(scope="module")
def ae():
    return of_images()


@pytest.fixture(scope="module")
def wine():
    return Autoencoder(3, training=QUICK, random_state=0).fit(WINE)


@pytest.fixture(scope="module")
def stack():
    layers = [("edges", Autoencoder(16, training=QUICK)), ("digits", Autoencoder(4, training=QUICK))]
    return StackedAutoencoder(layers, training=QUICK, random_state=0).fit(IMAGES)


def test_names_are_imported_when_first_used():
    displays = [name for name in embudo.report.__all__ if "Display" in name]
    assert len(displays) == 12
    assert all(hasattr(getattr(embudo.report, name), "from_estimator") for name in displays)
    code = "import sys, embudo.report; print([m for m in ('matplotlib', 'torch', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---------------------------------------------------------------------- reconstructions


def test_reconstructions_are_those_of_the_samples_shown(ae):
    display = ReconstructionDisplay.from_estimator(ae, IMAGES, n_samples=5, pca=True, ax=axes())
    chosen = [0, 74, 149, 224, 299]
    np.testing.assert_array_equal(display.rows["original"], ROWS[chosen])
    np.testing.assert_allclose(display.rows["reconstruction"], ae.reconstruct(IMAGES)[chosen].reshape(5, 64))
    pca = PCA(4).fit(ROWS)
    np.testing.assert_allclose(display.rows["PCA"], pca.inverse_transform(pca.transform(ROWS[chosen])), atol=1e-6)
    assert display.ax_.images[0].get_array().shape == (4 * 9 - 1, 5 * 9 - 1, 4)
    names = [label.get_text().split("\n")[0] for label in display.ax_.get_yticklabels()]
    assert names == ["original", "reconstruction", "PCA", "difference"]
    first = display.ax_
    assert display.plot(axes()).ax_ is not first


def test_the_model_is_given_what_is_drawn_as_corrupted(ae):
    display = ReconstructionDisplay.from_estimator(ae, IMAGES, corruption=GaussianNoise(0.3), ax=axes())
    seen = display.rows["corrupted"]
    assert (seen - display.rows["original"]).std() == pytest.approx(0.3, abs=0.05)
    np.testing.assert_allclose(display.rows["reconstruction"], ae.reconstruct(seen).reshape(10, 64))
    with pytest.raises(InvalidParameter, match="corruption must be a part"):
        ReconstructionDisplay.from_estimator(ae, IMAGES, corruption="noise")


def test_samples_that_are_no_images_are_strips_under_their_names(wine):
    display = ReconstructionDisplay.from_estimator(wine, WINE, corruption=GaussianNoise(0.1), n_samples=7, ax=axes())
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(WINE.columns)
    assert display.ax_.images[0].get_array().shape == (4 * 8 - 1, 13, 4)
    sparse = Autoencoder(4, training=QUICK, random_state=0).fit(scipy.sparse.csr_matrix(ROWS))
    display = ReconstructionDisplay.from_estimator(sparse, scipy.sparse.csr_matrix(ROWS), pca=True, ax=axes())
    np.testing.assert_array_equal(display.rows["original"][0], ROWS[0])


@pytest.mark.parametrize("n", [1, 10, 10000])
def test_any_number_of_predictions_is_drawn(n):
    X = np.random.default_rng(0).random((n, 6, 5, 3))
    display = ReconstructionDisplay.from_predictions(X, X, ax=axes())
    assert len(display.rows["original"]) == min(n, 10)
    assert display.image_shape == (6, 5, 3)
    assert display.difference.max() == 0


def test_predictions_of_another_shape_are_refused(ae):
    with pytest.raises(InvalidData, match="of one shape"):
        ReconstructionDisplay.from_predictions(ROWS, ROWS[:3])
    with pytest.raises(InvalidParameter, match="64 values in all"):
        ReconstructionDisplay.from_predictions(ROWS, ROWS, image_shape=(8, 9))
    with pytest.raises(InvalidParameter, match="set pca=False"):
        ReconstructionDisplay.from_estimator(ae, IMAGES[:3], pca=True)


# ---------------------------------------------------------------------- units


@pytest.mark.parametrize("params", [{}, {"encoder": ConvNet(8)}, {"sparsity": TopK(2), "n_components": 20}])
def test_filters_are_the_weights_of_the_first_layer(params):
    ae = of_images(**params)
    display = FilterDisplay.from_estimator(ae, n_filters=4, ax=axes())
    weight = next(ae.module_.encoder.parameters())
    np.testing.assert_allclose(np.sort(display.weights.ravel()), np.sort(weight.detach().numpy().ravel()), rtol=1e-6)
    assert np.abs(display.ax_.images[0].get_array()).max() == 1


def test_filters_of_tables_and_of_colours(wine):
    display = FilterDisplay.from_estimator(wine, ax=axes())
    assert display.ax_.images[0].get_array().shape == (3, 13)
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(WINE.columns)
    colours = Autoencoder(4, training=QUICK, random_state=0).fit(np.random.default_rng(0).random((30, 5, 4, 3)))
    assert FilterDisplay.from_estimator(colours, ax=axes()).ax_.images[0].get_array().shape == (5, 4 * 5 - 1, 4)


def test_a_unit_goes_from_low_to_high_and_the_others_stay(ae):
    display = TraversalDisplay.from_estimator(ae, IMAGES, units=[2, 0], sample=7, n_steps=3, ax=axes())
    codes = ae.transform(IMAGES)
    code = codes[7].copy()
    code[2] = np.quantile(codes[:, 2], 0.98)
    np.testing.assert_allclose(display.decoded[0, 2], ae.inverse_transform(code[None]).ravel(), atol=1e-5)
    assert [label.get_text()[:6] for label in display.ax_.get_yticklabels()] == ["unit 2", "unit 0"]
    with pytest.raises(InvalidParameter, match="units must be numbers from 0 to 3"):
        TraversalDisplay.from_estimator(ae, IMAGES, units=[4])
    with pytest.raises(InvalidParameter, match="sample must be the number of one of the 300"):
        TraversalDisplay.from_estimator(ae, IMAGES, sample=300)


def test_units_of_a_table_are_strips(wine):
    display = TraversalDisplay.from_estimator(wine, WINE, ax=axes())
    assert display.ax_.images[0].get_array().shape == (3 * 10 - 1, 13, 4)


def test_a_hierarchy_has_a_row_for_each_level(stack):
    display = HierarchyDisplay.from_estimator(stack, IMAGES, n_units=6, ax=axes())
    codes = stack.codes(IMAGES)["edges"]
    unit = np.argsort(-codes.std(axis=0), kind="stable")[0]
    ends = np.tile(np.median(codes, axis=0), (2, 1))
    ends[:, unit] = np.quantile(codes[:, unit], [0.02, 0.98])
    low, high = stack.inverse_transform(ends, level="edges").reshape(2, 64)
    np.testing.assert_allclose(display.changes["edges"][0], high - low, atol=1e-5)
    (edges, digits) = (label.get_text().split("\n") for label in display.ax_.get_yticklabels())
    error = stack.stages_["training_error"][1]
    assert (edges[:2], digits) == (["edges", "16 units"], ["digits", "4 units", f"error {error:.3g}"])
    with pytest.raises(InvalidData, match="A hierarchy has levels"):
        HierarchyDisplay.from_estimator(of_images(), IMAGES)


# ---------------------------------------------------------------------- codes


@pytest.mark.parametrize("kind", ["heatmap", "histogram", "units"])
@pytest.mark.parametrize("n", [10, 10000])
def test_codes_of_any_number_are_drawn(kind, n):
    codes = np.random.default_rng(0).normal(size=(n, 12))
    display = CodeDisplay.from_predictions(codes, np.arange(n) % 3, kind=kind, ax=axes())
    assert display.ax_.has_data()


def test_a_heat_map_is_sorted_by_label_and_a_histogram_tells_the_zeros():
    codes = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [4.0, 0.0]])
    ax = CodeDisplay.from_predictions(codes, ["b", "a", "b", "a"], ax=axes()).ax_
    cells = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(cells[:: len(cells) // 4, :: cells.shape[1] // 2], codes[[1, 3, 0, 2]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert CodeDisplay(codes).plot(axes(), kind="histogram").ax_.get_title() == "50% of the activations are 0"
    with pytest.raises(InvalidParameter, match="did you mean 'heatmap'"):
        CodeDisplay(codes).plot(axes(), kind="heat map")
    with pytest.raises(InvalidData, match="one label for each of the 4"):
        CodeDisplay.from_predictions(codes, [1, 2])


@pytest.mark.parametrize("n_components", [1, 2, 3, 8])
def test_a_map_has_a_point_for_each_sample(n_components):
    codes = np.random.default_rng(0).normal(size=(50, n_components))
    y = np.array([None, "<b>", "$x$", 3, 4] * 10, dtype=object)
    display = MapDisplay.from_predictions(codes, y, ax=axes(projection="3d" if n_components == 3 else None))
    assert display.places.shape == (50, min(n_components, 3) if n_components < 4 else 2)
    assert len(display.ax_.collections[0].get_offsets()) == 50
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend[-1] == "no label (10)"
    assert r"\$x\$ (10)" in legend
    display.figure_.canvas.draw()


def test_longer_codes_are_projected_and_labels_must_fit():
    codes = np.random.default_rng(0).normal(size=(50, 8))
    display = MapDisplay.from_predictions(codes, ax=axes())
    np.testing.assert_allclose(np.abs(display.places), np.abs(PCA(2).fit_transform(codes)), atol=1e-6)
    assert "of 8 code units" in display.ax_.get_xlabel()
    with pytest.raises(InvalidData, match="one label for each of the 50"):
        MapDisplay.from_predictions(codes, [1])
    with pytest.raises(InvalidParameter, match="axes of three dimensions"):
        MapDisplay.from_predictions(codes[:, :3], ax=axes())


# ---------------------------------------------------------------------- curves


def test_training_has_a_line_for_every_term():
    training = Training(3, validation_fraction=0.2)
    ae = of_images(penalty=L1(1e-1) + L2(1e-9), training=training)
    ax = TrainingDisplay.from_estimator(ae, ax=axes()).ax_
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert list(lines)[:3] == ["loss", "reconstruction", "l1"]
    assert list(lines)[3].startswith("l2: less than")  # it would press the others together
    np.testing.assert_array_equal(lines["l1"], ae.history_["l1"])
    np.testing.assert_array_equal(lines["validation loss"], ae.history_["validation_loss"])
    with pytest.raises(NotFittedError):
        TrainingDisplay.from_estimator(Autoencoder())
    with pytest.raises(InvalidData, match="no history"):
        TrainingDisplay({"": {}}).plot(axes())


def test_the_stages_of_a_stack_follow_each_other(stack):
    display = TrainingDisplay.from_estimator(stack, ax=axes())
    assert list(display.histories) == ["edges", "digits", "fine-tuning"]
    assert list(display.ax_.lines[0].get_xdata()) == [1, 2]
    assert [text.get_text() for text in display.ax_.texts] == ["edges", "digits", "fine-tuning"]


def test_losses_below_0_and_few_or_many_epochs_are_drawn():
    for n in (1, 10000):
        display = TrainingDisplay({"": {"epoch": range(n), "loss": np.linspace(1, -1, n)}}).plot(axes())
        assert display.ax_.get_yscale() == "linear"
    assert TrainingDisplay({"": {"epoch": [1, 2], "loss": [100.0, 1.0]}}).plot(axes()).ax_.get_yscale() == "log"


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_matrix])
def test_pca_leaves_what_diagnose_says(kind):
    ae = Autoencoder(4, scale="minmax", training=Training(30), random_state=0).fit(kind(ROWS))
    display = PCAComparisonDisplay.from_estimator(ae, kind(ROWS), ax=axes())
    facts = ae.diagnose(kind(ROWS))
    assert display.pca_fvu[4] == pytest.approx(facts["pca_fvu"], rel=1e-4)
    assert display.fvu == pytest.approx(facts["fvu"], rel=1e-4)
    assert (display.pca_fvu[0], len(display.pca_fvu)) == (pytest.approx(1), 65)
    assert display.pca_fvu[display.equal_components] <= display.fvu < display.pca_fvu[display.equal_components - 1]


def test_robustness_curves_are_what_diagnose_measures(ae):
    levels = (0.3, 0.6)  # 0.3 is the default of GaussianNoise, and not in its text
    display = RobustnessDisplay.from_estimator(ae, IMAGES, levels=levels, ax=axes())
    facts = ae.diagnose(IMAGES, noises=[GaussianNoise(level) for level in levels])
    found = [measures["fvu"] for measures in facts["noise"].values()]
    line = display.ax_.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [0, 0.3, 0.6])
    np.testing.assert_allclose(line.get_ydata(), [facts["fvu"], *found])
    assert len(display.ax_.lines) == 6
    assert len(display.plot(axes(), measure="code_change").ax_.lines) == 3
    with pytest.raises(InvalidParameter, match="measure must be one of"):
        display.plot(axes(), measure="psnr")


def test_the_share_of_scores_is_drawn_without_a_threshold():
    display = AnomalyScoreDisplay.from_predictions([-1.0, -2.0, -3.0, 0.0], ax=axes())
    assert sum(bar.get_height() for bar in display.ax_.containers[0]) == pytest.approx(1)
    assert display.ax_.get_legend() is None


# ---------------------------------------------------------------------- photographs


def test_denoising_is_measured_where_the_clean_image_is_known():
    clean = load_sample_images().images[1][100:164, 200:280]
    display = DenoisingDisplay.from_estimator(ImageDenoiser.pretrained(), clean, sigma=25, told=True, ax=axes())
    noisy, denoised = display.images["noisy"], display.images["denoised"]
    assert (noisy - clean / 255).std() == pytest.approx(25 / 255, rel=0.05)
    assert display.psnr["denoised"] == pytest.approx(psnr(clean / 255, denoised, peak=1))
    assert [text.get_text() for text in display.ax_.texts][1] == f"denoised, {display.psnr['denoised']:.2f} dB"
    unknown = DenoisingDisplay.from_predictions(noisy[..., 0], denoised[..., 0], ax=axes())
    assert [text.get_text() for text in unknown.ax_.texts] == ["noisy", "denoised"]
    with pytest.raises(InvalidData, match="of one shape"):
        DenoisingDisplay.from_predictions(noisy, denoised[:3])


def test_rate_and_distortion_are_measured_or_taken_from_the_history():
    china, flower = (image[:64, :64] for image in load_sample_images().images)
    codec = ImageCodec(block=8, method="linear").fit([flower], X_val=[china])
    display = RateDistortionDisplay.from_estimator(codec, ax=axes())
    assert display.curves == {"embudo": codec.history_}
    measured = RateDistortionDisplay.from_estimator(codec, [china], peers=["JPEG"], ax=axes())
    assert measured.curves["embudo"] == codec.history_
    rates = measured.curves["JPEG"]["bits_per_pixel"]
    assert rates == sorted(rates)
    with pytest.raises(InvalidParameter, match="peers must be some of JPEG"):
        RateDistortionDisplay.from_estimator(codec, [china], peers=["GIF"])
    with pytest.raises(InvalidData, match="no images to measure"):
        RateDistortionDisplay.from_estimator(ImageCodec(block=8, method="linear").fit([flower]))
