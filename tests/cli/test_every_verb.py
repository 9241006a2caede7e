"""Every verb under abuse: its inputs, its outputs, their names, a full disk, signals while it writes, a closed pipe."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embudo import AnomalyDetector, Autoencoder, AutoencoderClassifier, ImageCodec, ImageDenoiser, Training, load
from embudo.cli.main import commands

#: verb: (options, arguments); {i}: folder of good files, {o}: folder for what is written, which begins with "out"
GOOD = {
    "demo": ("-o {o}/out", ""),
    "compress": ("-o {o}/out.emb --model {i}/codec.safetensors", "{i}/photo.png"),
    "decompress": ("-o {o}/out.png --model {i}/codec.safetensors", "{i}/photo.emb"),
    "train-codec": ("-o {o}/out.safetensors --method linear --block 4", "{i}/photos"),
    "denoise": ("-o {o}/out.png --views 1 --model {i}/denoiser.safetensors", "{i}/photo.png"),
    "train": ("-o {o}/out.safetensors --components 2 --epochs 1 -q --validation {i}/rows.csv", "{i}/rows.csv"),
    "encode": ("-o {o}/out.npy", "{i}/model.safetensors {i}/rows.csv"),
    "decode": ("-o {o}/out.csv", "{i}/model.safetensors {i}/codes.npy"),
    "reconstruct": ("-o {o}/out.parquet", "{i}/model.safetensors {i}/rows.csv"),
    "info": ("", "{i}/model.safetensors"),
    "diagnose": ("", "{i}/model.safetensors {i}/rows.csv"),
    "report": ("-o {o}/out.html --labels {i}/labels.csv", "{i}/model.safetensors {i}/rows.csv"),
    "map": ("-o {o}/out.html --model {i}/model.safetensors", "{i}/rows.csv"),
    "classify train": ("-o {o}/out.safetensors --components 2 --epochs 1 -q --labels {i}/labels.csv", "{i}/rows.csv"),
    "classify predict": ("-o {o}/out.csv", "{i}/classifier.safetensors {i}/rows.csv"),
    "detect fit": ("-o {o}/out.safetensors --components 2 --contamination 0 --steps 2 -q", "{i}/rows.csv"),
    "detect score": ("-o {o}/out.csv", "{i}/detector.safetensors {i}/rows.csv"),
    "explore": ("--no-browser", "{i}/model.safetensors {i}/rows.csv"),
    "export": ("-o {o}/out.onnx --part encoder --check {i}/rows.csv", "{i}/model.safetensors"),
}
WORKS_LONG = {"demo", "explore"}  #: not called in full here
QUICK = Training(1, verbose=False)


def every_verb(group=commands, name=""):
    """Yield the verbs that the command line knows, those of groups with the group's name before."""
    for verb in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), verb)
        whole = f"{name} {verb}".strip()
        yield from every_verb(command, whole) if isinstance(command, click.Group) else [whole]


VERBS = list(every_verb())
WRITERS = [verb for verb in VERBS if verb not in WORKS_LONG and "{o}" in GOOD.get(verb, ("",))[0]]

each_verb = pytest.mark.parametrize("verb", VERBS)
each_writer = pytest.mark.parametrize("verb", WRITERS)
# a narrow array has no feature names, where the model of a table has
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def test_every_verb_is_abused_here():
    assert set(VERBS) == set(GOOD)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A folder of good files; not to be changed."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(5, 2, size=(40, 4)), columns=list("abcd"))
    rows.to_csv(folder / "rows.csv", index=False)
    pd.DataFrame({"kind": np.where(rows["a"] > 5, "high", "low")}).to_csv(folder / "labels.csv", index=False)
    photos = rng.integers(256, size=(3, 24, 24, 3), dtype=np.uint8)
    (folder / "photos").mkdir()
    for number, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / "photos" / f"{number}.png")
    Image.fromarray(photos[0]).save(folder / "photo.png")
    codec = ImageCodec(block=4, method="linear").fit(photos)
    codec.save(folder / "codec.safetensors")
    (folder / "photo.emb").write_bytes(codec.encode(photos[0]))
    ae = Autoencoder(2, training=QUICK, random_state=0).fit(rows)
    ae.save(folder / "model.safetensors")
    np.save(folder / "codes.npy", ae.transform(rows))
    AutoencoderClassifier(ae, training=QUICK).fit(rows, rows["a"] > 5).save(folder / "classifier.safetensors")
    AnomalyDetector(ae, contamination=0).fit(rows).save(folder / "detector.safetensors")
    ImageDenoiser.pretrained().save(folder / "denoiser.safetensors")
    return folder


@pytest.fixture
def call(embudo, inputs, tmp_path):
    """Call a verb well, but for the folders and for what is made of each word."""

    def run(verb, *, i=inputs, o=tmp_path, change=lambda word: word):
        words = " ".join(GOOD[verb]).split()
        return embudo(*verb.split(), *(change(word.format(i=i, o=o)) for word in words))

    return run


def is_one_line(outcome, status=(1, 2)):
    return (
        outcome.status in status
        and outcome.err.startswith("Error: ")
        and outcome.err.count("\n") == 1
        and outcome.out == ""
    )


def contents(folder):
    """Return what lies in a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------- inputs


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(500))


def folder(path):
    path.mkdir()


def link_to_nothing(path):
    path.symlink_to(path.parent / "nothing")


def missing(path):
    pass


def unreadable(path):
    path.write_bytes(b"a,b\n1,2\n")
    path.chmod(0)


SPOILS = [missing, empty, garbage, folder, link_to_nothing, unreadable]


@each_verb
def test_a_bad_input_is_answered_in_one_line(call, inputs, tmp_path, verb):
    names = [word for words in GOOD[verb] for word in words.split() if word.startswith("{i}")]
    wrong = []
    for name in names:
        for number, spoil in enumerate(SPOILS):
            path = tmp_path / f"{number}" / name.removeprefix("{i}/")
            path.parent.mkdir(exist_ok=True)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            spoil(path)
            if spoil is unreadable and os.access(path, os.R_OK):  # who may do anything is not refused
                continue
            good = name.format(i=inputs)
            before = sorted(tmp_path.rglob("*"))
            outcome = call(verb, change=lambda word, good=good, path=path: str(path) if word == good else word)
            if not is_one_line(outcome) or sorted(tmp_path.rglob("*")) != before:
                wrong.append((name, spoil.__name__, outcome))
    assert wrong == []


# ---------------------------------------------------------------------- outputs


@each_verb
def test_an_output_that_cannot_be_is_answered_in_one_line_before_the_work(call, tmp_path, verb):
    if "{o}" not in GOOD[verb][0]:
        pytest.skip("writes nothing")
    out = GOOD[verb][0].split()[1].removeprefix("{o}/")
    (tmp_path / "file").write_text("as it was")  # in place of the folder
    if Path(out).suffix:
        (tmp_path / "folder" / out).mkdir(parents=True)
    else:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / out).write_text("as it was")
    places = ["file", "folder"]
    (tmp_path / "locked").mkdir(mode=0o500)
    if not os.access(tmp_path / "locked", os.W_OK):  # who may do anything is not refused
        places.append("locked")
    before = contents(tmp_path)
    wrong = [(place, outcome) for place in places if not is_one_line(outcome := call(verb, o=tmp_path / place))]
    assert wrong == []
    assert contents(tmp_path) == before


@each_writer
def test_a_full_disk_leaves_what_was_there(call, tmp_path, verb):
    out = tmp_path / GOOD[verb][0].split()[1].removeprefix("{o}/")
    out.write_bytes(b"as it was")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        outcome = call(verb)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert is_one_line(outcome, (1,)), outcome
    assert "File too large" in outcome.err
    assert contents(tmp_path) == {out.name: b"as it was"}


@each_writer
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_writes_leaves_no_half_file(call, tmp_path, monkeypatch, verb, number, status):
    chmod = Path.chmod

    def interrupted(path, mode):  # the last that is done before a file takes its place
        assert any(tmp_path.glob(".out*"))
        os.kill(os.getpid(), number)
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", interrupted)
    outcome = call(verb)
    assert outcome.status == status, outcome
    assert "Traceback" not in outcome.err
    assert contents(tmp_path) == {}


# ---------------------------------------------------------------------- names

NAMES = {
    "text": " 'a' \"b\" $(c) [bold]\N{LATIN SMALL LETTER U WITH DIAERESIS}[dim]\nsecond line",
    "not UTF-8": os.fsdecode(b"\xff\xfe"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in WORKS_LONG])
def test_any_name_will_do(call, inputs, tmp_path, verb, name):
    word = NAMES[name]
    there, to = tmp_path / word, tmp_path / f"{word} too"
    there.symlink_to(inputs)
    to.mkdir()
    outcome = call(
        verb,
        i=there,
        o=to,
        change=lambda path: str(Path(path).with_name(f"{word}{Path(path).name}")) if "/out" in path else path,
    )
    assert outcome.status == 0, outcome
    assert outcome.err == ""
    if verb in WRITERS:
        assert [path.name.removeprefix(word)[:4] for path in to.iterdir()] == ["out."]


def test_leading_dashes_will_do(embudo, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(inputs / "rows.csv", "-rows.csv")
    shutil.copy(inputs / "model.safetensors", "--model.safetensors")
    done = embudo("encode", "-o", "-out.npy", "--", "--model.safetensors", "-rows.csv")
    assert done.status == 0, done
    assert np.load("-out.npy").shape == (40, 2)
    assert is_one_line(embudo("encode", "-o", "-out.npy", "--model.safetensors", "-rows.csv"), (2,))


def test_a_name_may_be_as_long_as_the_file_system_lets_it(call, inputs, tmp_path):
    name = "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 120 + ".npy"
    assert call("encode", change=lambda word: word.replace("out.npy", name)).status == 0
    assert np.load(tmp_path / name).shape == (40, 2)


# ---------------------------------------------------------------------- processes


@pytest.fixture
def start(inputs):
    """Start the command in a process that leads a group of its own."""
    groups = []

    def run(*words, **streams):
        command = [sys.executable, "-m", "embudo", *map(str, words)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, **streams)
        groups.append(process.pid)
        return process

    yield run
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def is_gone(group, seconds=20):
    """Tell whether no process of a group is left, after some seconds at most."""
    for _ in range(seconds * 10):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_workers_too(start, inputs, tmp_path, number, status):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(300):
        (photos / f"{i}.png").symlink_to(inputs / "photo.png")
    process = start("compress", photos, "-o", tmp_path / "out", "--workers", 2, stdout=subprocess.PIPE)
    while not any(tmp_path.glob("out/*.emb")):
        assert process.poll() is None
        time.sleep(0.05)
    send = os.killpg if number == signal.SIGINT else os.kill  # a terminal tells the group
    send(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert out == ""
    assert is_gone(process.pid)
    assert [path for path in (tmp_path / "out").iterdir() if path.suffix != ".emb"] == []
    assert len(list((tmp_path / "out").iterdir())) < 300


def test_two_runs_on_one_output_leave_one_of_both(start, inputs, tmp_path):
    out = tmp_path / "m.safetensors"
    sizes = (2, 3)
    runs = [start("train", inputs / "rows.csv", "-o", out, "--components", n, "--epochs", 2, "-q") for n in sizes]
    for run in runs:
        assert run.wait(timeout=120) == 0
        run.stderr.close()
    assert load(out).n_components_ in sizes
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in WORKS_LONG])
def test_a_closed_pipe_is_answered_by_silence(call, tmp_path, monkeypatch, verb):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        outcome = call(verb)
        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    assert outcome.status == 1
    assert outcome.err == ""
    if verb in WRITERS:
        assert [path.name[:4] for path in tmp_path.iterdir()] == ["out."]
