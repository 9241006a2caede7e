"""What is exported computes what the model does, outside of embudo."""

import sys

import numpy as np
import onnxruntime
import pytest
import torch
import zoo
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from embudo import Autoencoder, AutoencoderClassifier, ConvNet, Training, load, stream
from embudo.errors import ExportDiffers, InvalidParameter, MissingDependency
from embudo.models import export

X = zoo.digits() * 16  # not in [0, 1]: scaled by the model
QUICK = Training(1)


def run(path, rows):
    """Compute with an ONNX file; the outputs by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[source.type]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {source.name: rows.astype(dtype)}), strict=True))


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(5, code_activation="tanh", training=QUICK, random_state=0).fit(X)


@pytest.mark.parametrize(
    "name",
    [
        "tied",
        "every_part",
        "float64",
        "k_sparse",
        "convolutional_decoder",
        "convolutional_stack",
    ],
)
def test_onnx_reconstructs_any_number_of_rows(name, tmp_path):
    model = clone(zoo.COMPOSITIONS[name]).fit(X)
    difference = model.to_onnx(tmp_path / "m.onnx")
    assert difference < 1e-5
    for n in (1, 7, 200):
        (found,) = run(tmp_path / "m.onnx", X[:n]).values()
        assert_allclose(found, model.reconstruct(X[:n]), atol=1e-4)


@pytest.mark.parametrize("name", ["convolutional_tied", "stack_of_everything"])
def test_onnx_of_each_part(name, tmp_path):
    model = clone(zoo.COMPOSITIONS[name]).fit(X)
    for part in ("encoder", "decoder", "reconstruction"):
        model.to_onnx(tmp_path / part, part)
    codes = model.transform(X)
    assert_allclose(run(tmp_path / "encoder", X)["code"], codes, atol=1e-5)
    assert_allclose(run(tmp_path / "decoder", codes)["reconstruction"], model.inverse_transform(codes), atol=1e-4)
    assert_allclose(run(tmp_path / "reconstruction", X)["reconstruction"], model.reconstruct(X), atol=1e-4)


def test_images_keep_their_shape(tmp_path):
    images = X.reshape(-1, 8, 8, 1)
    model = Autoencoder(4, encoder=ConvNet(3), training=QUICK, random_state=0).fit(images)
    model.to_onnx(tmp_path / "m.onnx")
    assert_allclose(run(tmp_path / "m.onnx", images)["reconstruction"], model.reconstruct(images), atol=1e-4)
    model.to_onnx(tmp_path / "m.onnx", "decoder", X=images[:1])
    codes = model.transform(images)
    assert run(tmp_path / "m.onnx", codes)["reconstruction"].shape == (200, 8, 8, 1)


def test_samples_to_compare_on_may_be_a_stream(fitted, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    assert fitted.to_onnx(tmp_path / "m.onnx", "encoder", X=stream(tmp_path / "rows.npy")) < 1e-5


@pytest.mark.parametrize("part", ["encoder", "decoder", "reconstruction"])
def test_torch_can_export_the_module(part):
    model = clone(zoo.COMPOSITIONS["k_sparse"]).fit(X)
    rows = torch.from_numpy(X).float()
    x = rows if part != "decoder" else torch.from_numpy(model.transform(X).toarray()).float()
    program = torch.export.export(model.to_torch(part), (x[:3],), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
    wanted = model.transform(X).toarray() if part == "encoder" else model.reconstruct(X)
    assert_allclose(program(x).detach().numpy(), wanted, atol=1e-4)


def test_the_module_has_weights_of_its_own(fitted):
    module = fitted.to_torch()
    before = fitted.reconstruct(X)
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
    assert_array_equal(fitted.reconstruct(X), before)


@pytest.mark.parametrize(
    "labels",
    [np.array(["ja", "nein", "älter"])[np.arange(200) % 3], np.arange(200) % 2],
    ids=["text", "integers"],
)
def test_onnx_classifies(labels, fitted, tmp_path):
    model = AutoencoderClassifier(clone(fitted), training=QUICK, random_state=0).fit(X, labels)
    model.to_onnx(tmp_path / "m.onnx")
    found = run(tmp_path / "m.onnx", X)
    assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    assert_array_equal(found["label"], model.predict(X))


def test_a_graph_that_differs_is_not_written(fitted, tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_text("as it was")
    with pytest.raises(ExportDiffers, match=r"m\.onnx' was not written: what onnxruntime computes differs by .*e-"):
        fitted.to_onnx(path, tolerance=1e-12)
    classifier = AutoencoderClassifier(clone(fitted), training=QUICK).fit(X, np.arange(200) % 2)
    found = export.run_onnx
    monkeypatch.setattr(export, "run_onnx", lambda *args: (out := found(*args)) | {"label": 1 - out["label"]})
    with pytest.raises(ExportDiffers, match="differs by inf"):
        classifier.to_onnx(path)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_what_is_not_installed_is_named(library, fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependency, match=rf'of which {library} is missing: pip install "embudo\[onnx\]"\.$'):
        fitted.to_onnx(tmp_path / "m.onnx")


def test_a_torch_that_is_too_old_is_named(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.6.0+cpu"))
    with pytest.raises(MissingDependency, match=r"^ONNX needs torch 2\.7, not 2\.6\.0\+cpu: pip install"):
        fitted.to_onnx(tmp_path / "m.onnx")


def test_what_cannot_be_exported(fitted, tmp_path, monkeypatch):
    with pytest.raises(InvalidParameter, match=r"part must be one of .*; got 'encodr' \(did you mean 'encoder'\?\)"):
        fitted.to_onnx(tmp_path / "m.onnx", "encodr")
    with pytest.raises(NotFittedError):
        Autoencoder(2).to_torch()
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(InvalidParameter, match="more weights than the 2 GiB"):
        fitted.to_onnx(tmp_path / "m.onnx")


def test_a_file_that_was_loaded_is_exported_alike(fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    fitted.to_onnx(tmp_path / "a.onnx")
    load(tmp_path / "m.safetensors").to_onnx(tmp_path / "b.onnx")
    rows = X[:9]
    assert_array_equal(*(run(tmp_path / name, rows)["reconstruction"] for name in ("a.onnx", "b.onnx")))
