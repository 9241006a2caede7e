"""The page of a report holds what was measured, is whole in itself, and believes no text that it is given."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_digits, load_wine

import embudo
from embudo import (
    MLP,
    AnomalyDetector,
    Autoencoder,
    AutoencoderClassifier,
    ConvNet,
    Report,
    StackedAutoencoder,
    TopK,
    Training,
)
from embudo.errors import InvalidData, InvalidParameter

IMAGES, Y = load_digits().images[:300], load_digits().target[:300]
WINE = load_wine(as_frame=True).data
QUICK = Training(2)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that tags are closed in turn, ids unique, and nothing outside is asked for; keeps the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)
        assert all(link.startswith("#") and link[1:] in self.ids for link in self.links)
        assert all(source.startswith("data:image/") for source in self.images)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert tag not in {"script", "link", "iframe", "object"}
        assert not any(name.startswith("on") for name in given)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name == "href"]
        if tag == "img":
            self.images.append(given["src"])
            assert given["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.text += " "
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def ae():
    return Autoencoder(8, encoder=MLP(32), training=QUICK, random_state=0).fit(IMAGES)


@pytest.fixture(scope="module")
def report(ae):
    return ae.report(IMAGES, Y, title="Digits")


def test_the_page_is_whole_in_itself(report, tmp_path):
    page = Page(report.html)
    assert len(page.images) == 12
    assert not re.search(r"https?://|@import|url\(", re.sub(r'src="data:[^"]*"', "", report.html))
    assert "@media print" in report.html
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.html
    assert 50_000 < len(report.html) < 2_000_000


def test_the_page_says_what_was_measured(ae, report):
    text = " ".join(Page(report.html).text.split())
    facts = ae.diagnose(IMAGES)
    assert report.facts == facts
    assert f"{1 - facts['fvu']:.1%} of the variance is explained, PCA with as many components" in text
    for value in (facts["fvu"], facts["pca_fvu"], facts["jacobian_norm"], ae.history_["loss"][-1]):
        assert f"{value:.4g}" in text
    for noise, measures in facts["noise"].items():
        assert f"{noise} {measures['fvu']:.4g}" in text
    assert "MLP((32,))" in text
    for finding in report.findings:
        assert finding.what in text
    z = ae.scaler_.apply(IMAGES.reshape(300, 64)) - ae.scaler_.apply(ae.reconstruct(IMAGES).reshape(300, 64))
    np.testing.assert_allclose(report.errors, np.square(z).sum(axis=1), rtol=1e-5)
    assert f"{np.argmax(report.errors)} ({report.errors.max():.4g})" in text


def test_the_same_report_twice_is_the_same_page(ae, report):
    assert Report(ae, IMAGES, Y, title="Digits").html == report.html


def test_it_prints_what_it_says(report):
    summary, *lines = repr(report).splitlines()
    assert summary == report.summary()
    assert lines == [line for found in report.findings for line in (f"- {found.what}", f"  {found.advice}")]


def test_a_notebook_shows_the_page_in_a_frame(report):
    frame = report._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert frame.count("<") == 2


def test_no_text_of_the_data_is_believed():
    evil = '<script>alert("$x$")</script>'
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), columns=[evil, "<b>", "c & d"])
    level = Autoencoder(2, training=QUICK)
    stack = StackedAutoencoder([("<i>", level)], training=QUICK, random_state=0).fit(X)
    report = stack.report(X, np.repeat([evil, "</table>"], 20), title=evil)
    page = Page(report.html)
    assert page.text.count(evil) >= 3
    assert "<b>" in page.text
    assert "<i>" in page.text


@pytest.mark.parametrize(
    ("params", "prepare"),
    [
        ({"n_components": 70, "sparsity": TopK(5), "sparse_output": True}, scipy.sparse.csr_matrix),
        ({"n_components": 2, "encoder": ConvNet(4, image_shape=(8, 8))}, np.asarray),
        ({"n_components": 3}, lambda X: X[:2]),
        ({"n_components": 1}, lambda X: np.ones((5, 6))),
        ({"n_components": 4}, lambda X: np.repeat(X.reshape(-1, 8, 8, 1), 3, axis=3).astype(np.uint8)),
    ],
)
def test_any_model_of_any_data_has_a_page(params, prepare):
    X = prepare(IMAGES.reshape(300, 64))
    Page(Autoencoder(training=QUICK, random_state=0, **params).fit(X).report(X).html)


def test_a_table_has_its_features_and_a_stack_its_stages():
    layers = [("low", Autoencoder(6, training=QUICK)), ("high", Autoencoder(2, training=QUICK))]
    stack = StackedAutoencoder(layers, fine_tune=None, random_state=0).fit(WINE)
    report = stack.report(WINE)
    text = " ".join(Page(report.html).text.split())
    assert "no history" in text
    assert f"high 2 2 {stack.stages_['seconds'][1]:.4g} {stack.stages_['training_error'][1]:,.0f}" in text
    left = {row["name"]: row["unexplained"] for row in report.feature_table()}
    proline = np.square(WINE["proline"] - stack.reconstruct(WINE)[:, 12]).mean() / WINE["proline"].var(ddof=0)
    assert left["proline"] == pytest.approx(proline, rel=1e-4)
    assert list(left.values()) == sorted(left.values(), reverse=True)


def test_samples_that_do_not_vary_are_no_share_of_anything(ae):
    report = ae.report(IMAGES[:1])
    assert report.summary() == "1 sample of 64 features through 8 code units: they do not vary."
    assert "nan" not in "".join(finding.what for finding in report.findings)


def test_other_models_and_other_data_are_refused_in_a_sentence(ae):
    detector = AnomalyDetector(Autoencoder(2, training=QUICK), random_state=0).fit(WINE)
    classifier = AutoencoderClassifier(Autoencoder(4, training=QUICK), training=QUICK).fit(IMAGES.reshape(300, 64), Y)
    for model in (detector, classifier):
        with pytest.raises(
            InvalidParameter, match=f"Autoencoder or a StackedAutoencoder.* of class {type(model).__name__}"
        ):
            Report(model, WINE)
    with pytest.raises(InvalidData, match="expecting 64 features"):
        ae.report(WINE.to_numpy())
    with pytest.raises(InvalidData, match="one label for each of the 300"):
        ae.report(IMAGES, Y[:3])
    with pytest.raises(InvalidParameter, match="image_shape must be"):
        ae.report(IMAGES, image_shape=(3, 3))


def test_it_has_a_public_name():
    assert embudo.Report is Report
    assert embudo.report.Report is Report
