"""``embudo map``: a page from a table, an array or a folder of images."""

import json
import re

import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

from embudo import Neighbours, load

QUICK = ("--epochs", 3, "-q")


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture(scope="session")
def wine(tmp_path_factory):
    """A table of wines, of which half have a label."""
    path = tmp_path_factory.mktemp("wine") / "wine.csv"
    wines = load_wine(as_frame=True)
    kinds = wines.target.map({0: "red", 1: "white", 2: "rosé"}).where(wines.target.index % 2 == 0)
    wines.data.assign(kind=kinds).to_csv(path, index=False)
    return path


def test_a_table_with_labels_of_some(embudo, wine, tmp_path):
    page, model = tmp_path / "wine.html", tmp_path / "wine.safetensors"
    done = embudo("map", wine, "--labels", "kind", "-o", page, "--save-model", model, "--epochs", 20, "-q")
    assert done.status == 0, done.err
    assert re.search(r"trustworthiness: 0\.\d+ \(PCA's 0\.\d+\)", done.out)
    assert re.search(r"accuracy of the 5 nearest: [01]\.\d+ \(PCA's [01]\.\d+\)", done.out)
    data = data_of(page)
    assert (data["n"], data["dimensions"]) == (178, 2)
    assert [label["name"] for label in data["labels"]] == ["red", "rosé", "white", "no label"]
    assert load(model).penalty == Neighbours()
    new = tmp_path / "new.html"
    again = embudo("map", wine, "--drop", "kind", "--model", model, "-o", new)
    assert again.status == 0, again.err
    assert data_of(new)["codes"] == data["codes"]
    assert "accuracy" not in again.out


def test_images_in_folders_have_pictures(embudo, tmp_path):
    digits = load_digits()
    for i in range(60):
        folder = tmp_path / "digits" / f"{digits.target[i]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] * 15).astype("uint8")).save(folder / f"{i:02}.png")
    page = tmp_path / "map.html"
    done = embudo("map", tmp_path / "digits", "-o", page, "--dimensions", 3, "--no-neighbours", *QUICK)
    assert done.status == 0, done.err
    data = data_of(page)
    assert (data["dimensions"], len(data["labels"]), data["tile"]) == (3, 10, [8, 8])
    assert data["sprite"].startswith("data:image/png;base64,")


def test_numbers_to_colour_by_are_not_classified(embudo, wine, tmp_path):
    page = tmp_path / "map.html"
    done = embudo("map", wine, "--drop", "kind", "--labels", "proline", "-o", page, *QUICK)
    assert done.status == 0, done.err
    assert "accuracy" not in done.out
    assert len(data_of(page)["labels"]) == 8


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ("-o {o}/map.png", 2, "must be .html"),
        ("-o {o}/map.html --labels kid", 2, "did you mean 'kind'"),
        ("-o {o}/map.html --dimensions 4", 2, "dimensions"),
        ("-o {o}/map.html", 1, "'kind'"),
        ("-o {o}/map.html --model {m} --epochs 3", 2, "omit --epochs"),
        ("-o {o}/map.html --model {m}", 2, "has 4: train one with --components 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(refused, wine, model, tmp_path, options, status, words):
    refused(("map", wine, *options.format(o=tmp_path, m=model).split()), status, words)
