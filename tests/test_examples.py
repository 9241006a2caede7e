"""The examples run, and what they show is so: the learnt map beats a naive one."""

import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

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
