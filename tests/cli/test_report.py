"""``embudo report``: a page from a model file and data."""

import pytest
from sklearn.datasets import load_digits

from embudo import load


def test_a_page_is_written_and_told_in_short(embudo, files, model, tmp_path):
    page = tmp_path / "report.html"
    done = embudo("report", model, files / "digits.csv", "-o", page, "--image-shape", "8x8")
    assert (done.status, done.err) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert "<title>digits.safetensors on digits.csv: report</title>" in text
    first, *findings, last = done.out.splitlines()
    assert first.startswith("200 samples of 64 features through 4 code units")
    assert first in text
    assert any(line.startswith("- PCA does better") for line in findings)
    assert last == f"Report written to {page}, {len(text) / 1e6:.1f} MB"


def test_labels_are_a_column_of_the_table(embudo, digits, model, tmp_path):
    import pandas as pd

    table = pd.DataFrame(digits, columns=[f"pixel{i}" for i in range(64)]).assign(digit=load_digits().target[:200])
    table.to_csv(tmp_path / "labelled.csv", index=False)
    done = embudo("report", model, tmp_path / "labelled.csv", "-o", tmp_path / "r.html", "--labels", "digit")
    assert done.status == 0, done.err
    assert '<th scope="row">labels</th><td>10</td>' in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_images_are_brought_to_the_models_size(embudo, files, image_model, tmp_path):
    assert embudo("report", image_model, files / "images", "-o", tmp_path / "r.html").status == 0
    assert load(image_model).sample_shape_ == (6, 5, 3)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ("{m} {f}/digits.csv -o {o}/r.pdf", 2, "must be .html"),
        ("{i} {f}/digits.npy -o {o}/r.html", 1, "90 features"),
        ("{f}/digits.npy {f}/digits.csv -o {o}/r.html", 1, "not a model"),
        ("{m} {f}/digits.csv -o {o}/r.html --image-shape 9x9", 2, "64 values in all"),
        ("{m} {f}/digits.csv -o {o}/r.html --labels pixl0", 2, "did you mean 'pixel0'"),
        ("{d} {f}/digits.csv -o {o}/r.html", 1, '"embudo detect score" works with it'),
    ],
)
def test_what_cannot_be_reported_is_refused_in_one_line(
    refused, files, model, image_model, run_quietly, tmp_path, arguments, status, words
):
    detector = files / "detector.safetensors"
    if "{d}" in arguments and not detector.exists():
        run_quietly("detect", "fit", files / "digits.csv", "-o", detector, "--steps", 5)
    places = {"m": model, "i": image_model, "d": detector, "f": files, "o": tmp_path}
    refused(("report", *arguments.format(**places).split()), status, words)
