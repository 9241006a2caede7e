"""Progress: three faces, and silence where nobody looks on."""

import os
import pty
import select
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

FIT = """
from sklearn.datasets import load_digits
from embudo import Autoencoder, Training
X = load_digits().data
Autoencoder(8, training=Training({epochs}, validation_fraction=0.1, verbose={verbose!r}), random_state=0).fit(X)
"""


def stderr_of(**options) -> str:
    run = subprocess.run([sys.executable, "-c", FIT.format(**options)], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    return run.stderr


def test_a_log_has_plain_lines_and_the_last_epoch():
    lines = stderr_of(epochs=20, verbose=True).splitlines()
    assert lines[0] == "  0%  epoch 1/20"
    assert lines[-1].startswith("100%  epoch 20/20  loss ")
    assert "validation" in lines[-1]
    assert lines[-1].endswith("/s")
    assert not any("\r" in line or "\x1b" in line for line in lines)


@pytest.mark.parametrize("verbose", ["auto", False])
def test_nothing_is_written_where_nobody_looks_on(verbose):
    assert stderr_of(epochs=3, verbose=verbose) == ""


def test_a_terminal_has_a_bar():
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", FIT.format(epochs=5, verbose=True)], stderr=child)
    os.close(child)
    seen = b""
    while process.poll() is None or select.select([parent], [], [], 0)[0]:
        try:
            if select.select([parent], [], [], 0.1)[0]:
                seen += os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
    os.close(parent)
    assert process.wait() == 0
    text = seen.decode()
    assert "━" in text
    assert "epoch 5/5" in text


def test_a_notebook_has_one_line_that_is_written_over():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FIT.format(epochs=5, verbose=True))])
    NotebookClient(notebook, timeout=120).execute()
    outputs = notebook.cells[0].outputs
    shown = [output.data["text/plain"] for output in outputs if output.output_type == "display_data"]
    assert len(shown) == 1
    assert "█" * 24 in shown[0]
    assert "epoch 5/5" in shown[0]
