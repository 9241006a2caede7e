"""``embudo explore`` and ``embudo train --watch``: what is shown, and what is refused before anything is."""

import re

import pandas as pd
import pytest

from embudo import AnomalyDetector, Autoencoder, Training
from embudo.report.explorer import server, watching


@pytest.fixture
def shown(monkeypatch):
    """What would be served, instead of serving it."""
    calls = []
    monkeypatch.setattr(server, "serve", lambda subject, **options: calls.append((subject, options)))
    return calls


def test_a_model_with_samples_and_labels(embudo, shown, model, files, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("label\n" + "a\nb\n" * 100)
    done = embudo("explore", model, files / "digits.csv", "--labels", labels, "--image-shape", "8x8", "--no-browser")
    assert done.status == 0, done.err
    ((subject, options),) = shown
    assert subject.title == "digits.safetensors on digits.csv"
    assert (subject.facts["n_samples"], subject.facts["image_shape"]) == (200, [8, 8, 1])
    assert [label["count"] for label in subject.facts["map"]["labels"]] == [100, 100]
    assert (options["port"], options["browser"]) == (0, False)


def test_a_model_without_samples_and_those_that_come_along(embudo, shown, image_model, files):
    assert embudo("explore", image_model).status == 0
    assert embudo("explore", "codec", files / "images").status == 0
    assert embudo("explore", "denoiser").status == 0
    subjects = [subject for subject, _ in shown]
    assert [subject.template for subject in subjects] == ["codes.html", "codec.html", "denoiser.html"]
    assert subjects[0].facts["image_shape"] == [6, 5, 3]
    assert [subject.facts["n_samples"] for subject in subjects] == [0, 20, 0]
    assert subjects[1].calls["sample"]({"number": "19"}, b"")["size"] == "5 x 6 pixels"


def test_what_is_not_explored_is_refused(refused, shown, digits, model, files, tmp_path):
    detector = tmp_path / "detector.safetensors"
    quick = Autoencoder(3, training=Training(1))
    AnomalyDetector(quick, contamination=0, random_state=0).fit(digits).save(detector)
    cases = {
        (detector,): (
            1,
            'class AnomalyDetector: expected an autoencoder, a stack, a codec or a denoiser; "embudo detect',
        ),
        (tmp_path / "none",): (1, "none"),
        (model, "--labels", "a"): (2, "--labels are of samples: name the DATA too."),
        ("codec", "--image-shape", "8x8"): (2, "--image-shape is for an autoencoder or a stack"),
        ("codec", files / "digits.npy"): (1, "holds no images of type uint8"),
        (model, files / "images"): (1, ""),
    }
    for arguments, (status, words) in cases.items():
        refused(("explore", *arguments), status, words)
    assert not shown


@pytest.mark.parametrize(
    ("verb", "data", "ending", "options"),
    [
        ("train", "digits.npy", ".safetensors", "--epochs 2 -q"),
        ("classify train", "labelled.csv", ".safetensors", "--labels kind --epochs 2 --components 4 -q"),
        ("detect fit", "digits.npy", ".safetensors", "--contamination 0 --steps 4 -q"),
        ("map", "digits.npy", ".html", "--epochs 2 -q"),
        ("train-codec", "images", ".safetensors", "--method linear --block 4"),
    ],
)
def test_a_training_that_is_watched(embudo, monkeypatch, files, tmp_path, verb, data, ending, options):
    monkeypatch.setattr(watching, "PATIENCE", 0.1)
    noted = []
    monkeypatch.setattr(watching.Watch, "note", lambda watch, stage, epoch, look: noted.append(epoch.number))
    if data == "labelled.csv":
        pd.read_csv(files / "digits.csv").assign(kind=["a", "b"] * 100).to_csv(tmp_path / data, index=False)
    source, output = (tmp_path if data == "labelled.csv" else files) / data, tmp_path / f"model{ending}"
    done = embudo(*verb.split(), source, "-o", output, *options.split(), "--watch", "--no-browser")
    assert done.status == 0, done.err
    assert noted or verb == "train-codec"  # in closed form there are no epochs
    assert re.search(r"Explore at http://127\.0\.0\.1:\d+/", done.err)
    assert output.exists()
