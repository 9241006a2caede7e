"""``embudo diagnose``: tables for people, JSON for programs."""

import json

import numpy as np
import pandas as pd
import pytest

from embudo import load
from embudo.parts.expression import parse


def test_the_json_is_what_the_model_says_of_the_data(embudo, files, model):
    outcome = embudo("diagnose", model, files / "digits.csv", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    expected = load(model).diagnose(pd.read_csv(files / "digits.csv"))
    assert json.loads(outcome.out) == expected


def test_the_tables_name_every_measure_and_pca_beside(embudo, files, model):
    out = embudo("diagnose", model, files / "digits.csv").out
    lines = [line.strip() for line in out.splitlines()]
    facts = load(model).diagnose(pd.read_csv(files / "digits.csv"))
    for name in facts.keys() - {"pca_fvu", "pca_reconstruction_error", "pca_explained_variance"}:
        assert name.replace("_", " ") in out
    for name in ("fvu", "explained_variance", "reconstruction_error"):
        (line,) = (line for line in lines if line.startswith(f"{name.replace('_', ' ')} "))
        assert line.split()[-2:] == [f"{facts[name]:.4g}", f"{facts['pca_' + name]:.4g}"]
    for noise, measures in facts["noise"].items():
        (line,) = (line for line in lines if line.startswith(noise))
        assert [f"{value:.4g}" for value in measures.values()] == line[len(noise) :].split()


def test_images_are_brought_to_the_models_size(embudo, files, image_model):
    assert embudo("diagnose", image_model, files / "images").status == 0


@pytest.mark.parametrize("corruption", ["MaskingNoise(0.25)", "GaussianNoise(0.1) + SaltAndPepper(0.1, emphasis=0.7)"])
def test_every_part_is_given_as_text(embudo, files, tmp_path, corruption):
    path = tmp_path / "m.safetensors"
    parts = ["--corruption", corruption, "--sparsity", "TopK(5)", "--penalty", "Contractive(0.1) + KLSparsity(0.1)"]
    args = ["--components", 20, "--code-activation", "sigmoid", "--epochs", 1, "-q", "--sparse-output"]
    outcome = embudo("train", files / "digits.npy", "-o", path, *parts, *args)
    assert outcome.status == 0, outcome.err
    again = load(path)
    assert [again.corruption, again.sparsity, again.penalty] == [parse(text) for text in parts[1::2]]
    assert load(path).diagnose(np.load(files / "digits.npy"))["l0"] == 5
    outcome = embudo("train", files / "digits.npy", "-o", path, "--sparsity", "TopK(50)", "--components", 20)
    assert outcome.err == "Error: TopK.k must be at most n_components=20; got 50.\n"
