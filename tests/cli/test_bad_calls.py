"""Whatever is wrong: one line that says so, the right exit status, and no file left."""

import numpy as np
import pytest

from embudo import Autoencoder, AutoencoderClassifier, StackedAutoencoder, Training

#: name: (arguments, exit status, part of the line); {f}: folder of good files, {b}: of bad ones, {o}: for output
CASES = {
    "no such verb": ("trian", 2, "did you mean 'train'"),
    "no such option": (
        "train {f}/digits.csv -o {o}/m.safetensors --epoch 3",
        2,
        "Did you mean one of: '--epochs', '--port'",
    ),
    "a field of a part": ("train {f}/digits.csv -o {o}/m.safetensors --lr 1", 2, 'write --optimizer "Adam(lr=...)".'),
    "another library's word": ("train {f}/digits.csv --learning-rate 1", 2, 'write --optimizer "Adam(lr=...)".'),
    "another library's option": ("train {f}/digits.csv --latent-dim 1", 2, "write --components."),
    "a field, but not of this verb's parts": ("encode {f}/m.safetensors --lr 1", 2, "No such option '--lr'. (Did"),
    "no output": ("train {f}/digits.csv", 2, "Missing option '-o'"),
    "missing file": ("train {f}/digts.csv -o {o}/m.safetensors", 1, "did you mean 'digits.csv'"),
    "truncated npy": ("train {b}/truncated.npy -o {o}/m.safetensors", 1, "truncated.npy"),
    "empty csv": ("train {b}/empty.csv -o {o}/m.safetensors", 1, "empty.csv"),
    "header without rows": ("train {b}/header.csv -o {o}/m.safetensors", 1, "no rows"),
    "one row": ("train {b}/row.npy -o {o}/m.safetensors", 1, "1 sample"),
    "text column": ("train {f}/text.csv -o {o}/m.safetensors", 1, "OneHotEncoder). (--drop name drops them.)"),
    "nan": ("train {f}/nan.csv -o {o}/m.safetensors", 1, "NaN in row 3, column 'pixel0'"),
    "folder without images": ("train {b} -o {o}/m.safetensors", 1, "no image"),
    "several arrays": ("train {f}/digits.npz -o {o}/m.safetensors", 2, "train, other"),
    "no such column": ("train {f}/digits.csv -o {o}/m.safetensors --drop pixl0", 2, "did you mean 'pixel0'"),
    "bad image size": ("train {f}/images -o {o}/m.safetensors --image-size 3", 2, "height x width"),
    "unknown part": ("train {f}/digits.csv -o {o}/m.safetensors --encoder MPL(3)", 2, "did you mean 'MLP'"),
    "bad part value": ("train {f}/digits.csv -o {o}/m.safetensors --penalty L2(-1)", 2, "L2.weight"),
    "part of another kind": ("train {f}/digits.csv -o {o}/m.safetensors --optimizer L2(1)", 2, "Training.optimizer"),
    "bad word": ("train {f}/digits.csv -o {o}/m.safetensors --loss huberr", 2, "did you mean 'huber'"),
    "bad number": ("train {f}/digits.csv -o {o}/m.safetensors --epochs many", 2, "Training.epochs"),
    "too large a code": ("train {f}/digits.csv -o {o}/m.safetensors --components 1000000000000", 2, "GiB"),
    "no device": ("train {f}/digits.csv -o {o}/m.safetensors --device quantum", 2, "quantum"),
    "unknown config key": ("train {f}/digits.csv -o {o}/m.safetensors --config {b}/key.toml", 2, "'epochs'"),
    "malformed toml": ("train {f}/digits.csv -o {o}/m.safetensors --config {b}/bad.toml", 1, "TOML"),
    "bad config value": ("train {f}/digits.csv -o {o}/m.safetensors --config {b}/value.toml", 2, "Training.epochs"),
    "config missing": ("train {f}/digits.csv -o {o}/m.safetensors --config {b}/no.toml", 1, "no.toml"),
    "output folder missing": ("train {f}/digits.csv -o {o}/no/m.safetensors", 1, "no folder"),
    "output ending unknown": ("train {f}/digits.csv -o {o}/m.pt", 2, ".safetensors"),
    "array ending unknown": ("encode {f}/digits.safetensors {f}/digits.csv -o {o}/codes.xlsx", 2, ".parquet"),
    "output is a folder": ("encode {f}/digits.safetensors {f}/digits.csv -o {o}/folder.npy", 1, "it is a folder"),
    "not a model": ("encode {f}/digits.npy {f}/digits.csv -o {o}/codes.npy", 1, "is not a model file but data"),
    "model missing": ("info {f}/no.safetensors", 1, "no.safetensors"),
    "model is a folder": ("encode {f} {f}/digits.csv -o {o}/codes.npy", 1, "model file"),
    "wrong number of features": ("encode {f}/digits.safetensors {b}/narrow.npy -o {o}/codes.npy", 1, "3 features"),
    "other columns": ("encode {f}/digits.safetensors {b}/names.csv -o {o}/codes.npy", 1, "has no column 'pixel0'"),
    "missing column": ("diagnose {f}/digits.safetensors {b}/few.csv", 1, "has no column 'pixel63' (did you mean"),
    "text in a column": ("encode {f}/digits.safetensors {f}/word.csv -o {o}/h.npy", 1, "not numeric: 'pixel3'"),
    "data before the model": (
        "encode {f}/digits.csv {f}/digits.safetensors -o {o}/h.npy",
        1,
        "digits.csv' is not a model file but data: the model comes first",
    ),
    "a table for images": (
        "reconstruct {f}/images.safetensors {f}/digits.csv -o {o}/y.npy",
        1,
        "expecting 90 features",
    ),
    "standard input": ("encode {f}/digits.safetensors - -o {o}/h.npy", 2, "'-' names no file"),
    "standard output": ("compress {f}/images -o -", 2, "'-' names no file"),
    "an output without -o": (
        "compress {f}/images/tile00.bmp q.emb",
        1,
        "No such file or folder: 'q.emb': name an output by -o",
    ),
    "codes of wrong width": ("decode {f}/digits.safetensors {b}/narrow.npy -o {o}/x.npy", 1, "(n_samples, 4)"),
    "not images": ("decode {f}/digits.safetensors {b}/narrow.npy -o {o}/folder", 2, "not fitted on images"),
    "over the originals": ("reconstruct {f}/images.safetensors {f}/images -o {f}/images", 2, "name another"),
    "no sizes of a stack": ("train {f}/digits.csv -o {o}/m.safetensors --stack 10,x", 2, "sizes of codes such as"),
    "two sizes of code": ("train {f}/digits.csv -o {o}/m.safetensors --stack 10,5 --components 3", 2, "omit it"),
    "fine-tuning of no stack": ("train {f}/digits.csv -o {o}/m.safetensors --fine-tune none", 2, "is for a stack"),
    "fine-tuning that is none": ("train {f}/digits.csv -o {o}/m.safetensors --stack 9 --fine-tuning L1(1)", 2, "Trai"),
    "set what is not there": ("train {f}/digits.csv -o {o}/m.safetensors --stack 9 --set level2__tied=1", 2, "level1"),
    "set without value": ("train {f}/digits.csv -o {o}/m.safetensors --set tied", 2, "NAME=VALUE"),
    "set code": ("train {f}/digits.csv -o {o}/m.safetensors --set tied=print(1)", 2, "Unknown part 'print'"),
    "patience of a stack": ("train {f}/digits.csv -o {o}/m.safetensors --stack 9 --patience 2", 2, "Level 'level1'"),
    "level of no stack": ("encode {f}/digits.safetensors {f}/digits.csv -o {o}/h.npy --level a", 2, "for a stack"),
    "no such level": ("encode {f}/stack.safetensors {f}/digits.csv -o {o}/h.npy --level edge", 2, "'edges'"),
    "no such level's code": ("decode {f}/stack.safetensors {f}/digits.csv -o {o}/h.npy --level x", 2, "'edges'"),
    "no such classify verb": ("classify trian", 2, "Did you mean 'train'"),
    "no labels": ("classify train {f}/digits.csv -o {o}/m.safetensors", 2, "--labels"),
    "no such labels": ("classify train {f}/text.csv -o {o}/m.safetensors --labels nam", 2, "did you mean 'name'"),
    "no file of labels": ("classify train {f}/digits.npy -o {o}/m.safetensors --labels {f}/no.npy", 1, "no.npy"),
    "several labels a sample": ("classify train {f}/digits.npy -o {o}/m.safetensors --labels {f}/digits.npy", 1, "64"),
    "too few labels": (
        "classify train {f}/digits.npy -o {o}/m.safetensors --labels {b}/some.csv",
        1,
        "expected as many",
    ),
    "labels that measure": (
        "classify train {f}/digits.npy -o {o}/m.safetensors --labels {b}/real.csv",
        1,
        "continuous",
    ),
    "one loose image": ("classify train {f}/images -o {o}/m.safetensors", 1, "has a label: put those of a class"),
    "weight of no class": (
        "classify train {f}/text.csv -o {o}/m.safetensors --labels name --class-weight sven=2",
        2,
        "did you mean 'seven'",
    ),
    "bad weight": ("classify train {f}/text.csv -o {o}/m.safetensors --labels name --class-weight x", 2, "spam=5"),
    "model and its options": (
        "classify train {f}/text.csv -o {o}/m.safetensors --labels name --model {f}/digits.safetensors --tied",
        2,
        "omit --tied",
    ),
    "predict by no classifier": ("classify predict {f}/digits.safetensors {f}/digits.csv -o {o}/c.csv", 1, "Autoenc"),
    "encode by a classifier": ("encode {f}/clf.safetensors {f}/digits.npy -o {o}/h.npy", 1, "embudo classify predict"),
    "classes as an array": ("classify predict {f}/clf.safetensors {f}/digits.npy -o {o}/c.npy", 2, ".parquet"),
    "labels of other classes": (
        "classify predict {f}/clf.safetensors {f}/digits.npy -o {o}/c.csv --labels {b}/other.csv",
        1,
        "None of the labels is a class",
    ),
    "run folder without a seed": (
        "train {f}/digits.npy -o {o}/m.safetensors --run-dir {o}/runs",
        2,
        "Training.run_dir needs a random_state",
    ),
    "divergence": ("train {f}/digits.npy -o {o}/m.safetensors --optimizer SGD(1e30) --epochs 5 -q", 1, "diverged"),
    "demo in a file": ("demo -o {f}/digits.csv", 2, "digits.csv"),
}


@pytest.fixture(scope="session")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    rows = np.zeros((4, 3), np.float32)
    np.save(folder / "narrow.npy", rows)
    np.save(folder / "row.npy", np.zeros((1, 3)))
    (folder / "truncated.npy").write_bytes((folder / "narrow.npy").read_bytes()[:-10])
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "some.csv").write_text("label\na\nb\n")
    (folder / "real.csv").write_text("".join(f"{i / 7}\n" for i in range(200)))
    (folder / "other.csv").write_text("label\n" + "a\n" * 200)
    (folder / "names.csv").write_text(",".join(f"q{i}" for i in range(64)) + "\n" + ",".join("1" * 64) + "\n")
    (folder / "few.csv").write_text(",".join(f"pixel{i}" for i in range(63)) + "\n" + ",".join("1" * 63) + "\n")
    (folder / "key.toml").write_text("epoch = 3\n")
    (folder / "bad.toml").write_text("epochs = \n")
    (folder / "value.toml").write_text("epochs = 2.5\n")
    return folder


@pytest.fixture(scope="session")
def other_models(files):
    """A stack with names of its own, and a classifier."""
    X = np.load(files / "digits.npy")
    quick = Training(1)
    levels = [("edges", Autoencoder(9, training=quick)), ("parts", Autoencoder(3, training=quick))]
    StackedAutoencoder(levels, training=quick).fit(X).save(files / "stack.safetensors")
    first = Autoencoder(9, training=quick)
    classifier = AutoencoderClassifier(first, training=quick).fit(X, np.arange(200) % 2)
    classifier.save(files / "clf.safetensors")


@pytest.mark.usefixtures("model", "image_model", "other_models")
@pytest.mark.parametrize("case", CASES)
# a narrow array has no feature names, where the model of a table has
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_bad_call_is_answered_in_one_line(refused, files, bad, tmp_path, case):
    args, status, words = CASES[case]
    (tmp_path / "folder.npy").mkdir()
    before = sorted(files.rglob("*"))
    refused((word.format(f=files, b=bad, o=tmp_path) for word in args.split()), status, words)
    assert sorted(files.rglob("*")) == before
