"""The examples run, and what they show is so: the learnt map beats a naive one."""

import json
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import safetensors.torch
import scipy.sparse
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def numbers(capsys, monkeypatch):
    """Run an example, and return the numbers that it prints."""
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")

    def run(name):
        runpy.run_path(str(EXAMPLES / name))
        assert plt.get_fignums()
        plt.close("all")
        return [float(number) for number in re.findall(r"\d+\.\d+", capsys.readouterr().out)]

    return run


def test_inpainting(numbers):
    naive, learnt = numbers("plot_inpainting.py")
    assert learnt < 0.8 * naive


def test_super_resolution(numbers):
    bicubic, learnt = numbers("plot_super_resolution.py")
    assert learnt > bicubic + 0.2


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "sea", "##side", "wind", "of", "."]


def test_units_of_a_transformer(tmp_path, monkeypatch, capsys):
    """With random weights: an untrained transformer of two layers."""
    generator = torch.Generator().manual_seed(0)
    kinds = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    shapes = dict.fromkeys(kinds, (8, 8)) | {"intermediate.dense": (16, 8), "output.dense": (8, 16)}
    weights = {f"embeddings.{kind}_embeddings.weight": (128, 8) for kind in ("word", "position", "token_type")}
    norms = ["embeddings"]
    for i in range(2):
        weights |= {f"encoder.layer.{i}.{kind}.weight": shape for kind, shape in shapes.items()}
        weights |= {f"encoder.layer.{i}.{kind}.bias": shape[:1] for kind, shape in shapes.items()}
        norms += [f"encoder.layer.{i}.attention.output", f"encoder.layer.{i}.output"]
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in weights.items()}
    for name in norms:
        tensors |= {f"{name}.LayerNorm.weight": torch.ones(8), f"{name}.LayerNorm.bias": torch.zeros(8)}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 2, "layer_norm_eps": 1e-12}))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    (tmp_path / "text.txt").write_text("The wind of the seaside. Gulls!\n" * 200)
    options = f"{tmp_path}/text.txt --model {tmp_path} --layer 2 --units 40 --active 3 --epochs 50"
    monkeypatch.setattr(sys, "argv", ["transformer_units.py", *options.split()])
    names = runpy.run_path(str(EXAMPLES / "transformer_units.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "1,764 pieces, 8 features" in out  # 14 windows of 126
    assert float(re.search(r"FVU (\S+),", out)[1]) < 0.5
    assert re.search(r"L0 3\.0$", out, re.MULTILINE)
    assert "Units that fire on one piece" in out
    codes = scipy.sparse.csr_matrix([[1.0, 2.0, 0.0], [0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    pieces = np.array(["sea", "wind", "sea"])
    assert names["selectivity"](codes, pieces).tolist() == pytest.approx([1, 2, 1])
    names["show"](1, codes, pieces)
    assert capsys.readouterr().out.split("\n")[:2] == ["    >>sea<< wind sea", "    sea >>wind<< sea"]
