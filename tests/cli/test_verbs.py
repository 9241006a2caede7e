"""What each verb does, on files of each kind."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embudo import Autoencoder, StackedAutoencoder, Training, load
from embudo.data.batches import split

SOURCES = {"digits.csv": (), "digits.parquet": (), "digits.npy": (), "digits.npz": ("--key", "train")}


@pytest.mark.parametrize("source", SOURCES)
def test_train_info_encode_decode_reconstruct(embudo, files, digits, read, tmp_path, source):
    data, options = files / source, SOURCES[source]
    ending = data.suffix
    model = tmp_path / "model.safetensors"
    trained = embudo("train", data, "-o", model, "--components", 4, "--epochs", 2, "--seed", 0, *options)
    assert trained.status == 0, trained.err
    assert "PCA" in trained.out
    assert str(model) in trained.out.replace("\n", "")
    assert "epoch 2/2" in trained.err

    ae = load(model)
    facts = json.loads(embudo("info", model, "--json").out)
    assert facts["code_size"] == 4
    assert facts["features"] == 64
    assert facts["weights"] == sum(p.numel() for p in ae.module_.parameters())
    assert facts["last_epoch"]["loss"] == ae.history_["loss"][-1]

    codes, decoded, direct = (tmp_path / f"{name}{ending}" for name in ("codes", "decoded", "direct"))
    assert embudo("encode", model, data, "-o", codes, *options).status == 0
    assert embudo("decode", model, codes, "-o", decoded).status == 0
    assert embudo("reconstruct", model, data, "-o", direct, *options).status == 0
    X = pd.DataFrame(digits, columns=[f"pixel{i}" for i in range(64)]) if ending in {".csv", ".parquet"} else digits
    np.testing.assert_allclose(read(codes), ae.transform(X), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(read(direct), ae.reconstruct(X), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(read(decoded), read(direct), rtol=1e-4, atol=1e-4)
    if ending == ".csv":
        assert list(pd.read_csv(direct).columns) == list(X.columns)


def test_images_come_back_as_png_of_the_same_names(embudo, files, image_model, tmp_path):
    assert embudo("reconstruct", image_model, files / "images", "-o", tmp_path / "back").status == 0
    ae = load(image_model)
    originals = np.stack([np.asarray(Image.open(path)) for path in sorted((files / "images").iterdir())])
    expected = np.clip(np.rint(ae.reconstruct(originals)), 0, 255).astype(np.uint8)
    paths = sorted((tmp_path / "back").iterdir())
    assert [path.name for path in paths] == [f"tile{i:02}.png" for i in range(20)]
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(path)) for path in paths]), expected)

    assert embudo("encode", image_model, files / "images", "-o", tmp_path / "codes.npy").status == 0
    assert embudo("decode", image_model, tmp_path / "codes.npy", "-o", tmp_path / "decoded").status == 0
    decoded = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "decoded").iterdir())])
    assert np.abs(decoded.astype(int) - expected).max() <= 1


def test_a_convolutional_model_is_trained_from_a_folder_of_images(embudo, files, tmp_path):
    model = tmp_path / "m.safetensors"
    options = ("--components", 4, "--encoder", "ConvNet((4, 6), kernel_size=4)", "--epochs", 2, "-q")
    trained = embudo("train", files / "images", "-o", model, "--validation", files / "images", *options)
    assert trained.status == 0, trained.err
    assert "ConvNet((4, 6), kernel_size=4)" in embudo("info", model).out
    assert "jacobian" in embudo("diagnose", model, files / "images", "--json").out
    assert embudo("reconstruct", model, files / "images", "-o", tmp_path / "back").status == 0
    assert np.asarray(Image.open(tmp_path / "back" / "tile00.png")).shape == (6, 5, 3)


def test_rows_of_pixels_are_images_where_the_encoder_says_so(embudo, files, tmp_path):
    train = ("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", "--epochs", 1, "-q", "--encoder")
    refused = embudo(*train, "ConvNet(4)")
    assert refused.status == 2
    assert "ConvNet needs images, but X holds rows of 64 features" in refused.err
    assert embudo(*train, "ConvNet(4, image_shape=(8, 8))").status == 0
    assert embudo("encode", tmp_path / "m.safetensors", files / "digits.npy", "-o", tmp_path / "h.npy").status == 0


def test_size_and_colour_of_images_come_from_the_model(embudo, image_model, tmp_path):
    (tmp_path / "big").mkdir()
    Image.new("L", (50, 60), 128).save(tmp_path / "big" / "a.png")
    assert embudo("encode", image_model, tmp_path / "big", "-o", tmp_path / "codes.npy").status == 0
    assert np.load(tmp_path / "codes.npy").shape == (1, 4)


def test_images_that_differ_only_in_their_ending_keep_apart(embudo, image_model, tmp_path):
    (tmp_path / "in").mkdir()
    for ending in ("bmp", "png"):
        Image.new("RGB", (5, 6)).save(tmp_path / "in" / f"a.{ending}")
    assert embudo("reconstruct", image_model, tmp_path / "in", "-o", tmp_path / "out").status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.bmp.png", "a.png.png"]


def test_images_in_0_to_1_are_written_in_full_range(embudo, tmp_path):
    images = np.random.default_rng(0).random((30, 4, 4), dtype=np.float32)
    np.save(tmp_path / "x.npy", images)
    embudo("train", tmp_path / "x.npy", "-o", tmp_path / "m.safetensors", "--epochs", 1, "-q")
    assert embudo("reconstruct", tmp_path / "m.safetensors", tmp_path / "x.npy", "-o", tmp_path / "png").status == 0
    expected = load(tmp_path / "m.safetensors").reconstruct(images)[0]
    written = np.asarray(Image.open(tmp_path / "png" / "000000.png"))
    np.testing.assert_array_equal(written, np.clip(np.rint(expected * 255), 0, 255))


def test_info_of_data(embudo, files):
    facts = json.loads(embudo("info", files / "nan.csv", "--json").out)
    assert facts["shape"] == [200, 64]
    assert facts["not_finite"] == 64
    facts = json.loads(embudo("info", files / "text.csv", "--json").out)
    assert facts["columns_not_numeric"] == ["name"]
    assert "pixel0" in facts["constant_columns"]
    assert "images" in embudo("info", files / "images").out


def test_what_a_file_holds_does_not_command_the_terminal(embudo, tmp_path):
    X = pd.DataFrame(np.random.default_rng(0).random((20, 2)), columns=["a", "b"])
    levels = [("\x1b[31mred", Autoencoder(2, training=Training(1))), ("top", Autoencoder(1, training=Training(1)))]
    StackedAutoencoder(levels, training=Training(1), random_state=0).fit(X).save(tmp_path / "m.safetensors")
    out = embudo("info", tmp_path / "m.safetensors").out
    assert "\\x1b[31mred" in out
    assert "\x1b" not in out


def test_summary_measures_what_the_model_has_not_seen(embudo, files, tmp_path):
    args = ("--components", 3, "--epochs", 3, "--seed", 1, "--validation-fraction", 0.25, "--patience", 5, "-q")
    out = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", *args).out
    ae = load(tmp_path / "m.safetensors")
    X = np.load(files / "digits.npy")
    _, held_out = split(200, 0.25, ae.seed_)
    assert f"{ae.reconstruction_error(X[held_out]).mean():.5g}" in out
    assert f"{min(ae.history_['validation_loss']):.5g}" in out


def test_drop_and_validation_file(embudo, files, tmp_path):
    args = ("--drop", "name", "--validation", files / "text.csv", "--epochs", 1, "-q")
    assert embudo("train", files / "text.csv", "-o", tmp_path / "m.safetensors", *args).status == 0
    assert "validation_loss" in load(tmp_path / "m.safetensors").history_


def test_ctrl_c_keeps_the_model(files, tmp_path):
    path = tmp_path / "m.safetensors"
    command = [sys.executable, "-m", "embudo", "train", files / "digits.npy", "-o", path, "--epochs", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()  # of the first epochs
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "epoch 1/1000000" in line
    assert process.returncode == 130, err
    assert "interrupted" in err.splitlines()[-1]
    assert str(path) in err.splitlines()[-1]
    assert out == ""
    assert load(path).history_["epoch"]


def test_a_closed_pipe_is_no_error(files):
    command = f"{sys.executable} -m embudo info {files}/digits.csv --json | head -n 0"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_columns_are_found_by_name(embudo, files, model, tmp_path):
    table = pd.read_csv(files / "digits.csv")
    table[table.columns[::-1]].assign(other=1).to_csv(tmp_path / "turned.csv", index=False)
    for name, data in (("a", files / "digits.csv"), ("b", tmp_path / "turned.csv")):
        assert embudo("encode", model, data, "-o", tmp_path / f"{name}.npy").status == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_one_image_keeps_its_name(embudo, files, image_model, tmp_path):
    outcome = embudo("reconstruct", image_model, files / "images" / "tile03.bmp", "-o", tmp_path / "made")
    assert outcome.status == 0, outcome.err
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["tile03.png"]


@pytest.mark.parametrize("rows", [np.ones((20, 3)), np.eye(20, 3) * 1e100], ids=["constant", "great"])
def test_numbers_that_pca_stumbles_over(embudo, tmp_path, rows):
    np.save(tmp_path / "x.npy", rows)
    train = ("train", tmp_path / "x.npy", "-o", tmp_path / "m.safetensors", "--components", 2, "--epochs", 1)
    outcome = embudo(*train, "--quiet")
    assert (outcome.status, outcome.err) == (0, "")
