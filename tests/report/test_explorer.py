"""The explorer's server answers its own page, in numbers that the model gives, and nobody else."""

import base64
import io
import itertools
import json
import re
import sys
import urllib.request

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits, load_sample_images, load_wine
from starlette.testclient import TestClient

from embudo import (
    MLP,
    Autoencoder,
    AutoencoderClassifier,
    ConvNet,
    GaussianNoise,
    ImageCodec,
    ImageDenoiser,
    MaskingNoise,
    StackedAutoencoder,
    Training,
    stream,
)
from embudo.engine.history import Epoch
from embudo.engine.progress import heard_by
from embudo.errors import InvalidParameter, MissingDependency
from embudo.report.explorer import server, watching
from embudo.report.explorer.codes import CodeExplorer
from embudo.report.explorer.photographs import CodecExplorer, DenoiserExplorer
from embudo.report.explorer.server import application, explain, serve, served, watched
from embudo.report.explorer.subject import Subject
from embudo.report.explorer.watching import Watch

DIGITS, LABELS = load_digits().images[:200], load_digits().target[:200]
WINE = load_wine(as_frame=True).data
FLOWER = load_sample_images().images[1][100:196, 200:328]
QUICK = Training(2, verbose=False)


def client_of(subject):
    return TestClient(application(subject), base_url="http://127.0.0.1:8000")


def numbers(answer):
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, "<f4")


def sent(row):
    return np.asarray(row, "<f4").tobytes()


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def facts_of(client):
    page = client.get("/").text
    return json.loads(re.search(r'id="facts">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def ae():
    return Autoencoder(6, encoder=MLP(32), training=QUICK, random_state=0).fit(DIGITS)


@pytest.fixture(scope="module")
def digits(ae):
    return client_of(CodeExplorer(ae, DIGITS, LABELS, title="<Digits>"))


@pytest.fixture(scope="module")
def codec():
    return client_of(CodecExplorer(ImageCodec.pretrained(), [FLOWER]))


# -------------------------------------------------------------------------------- who is answered


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "", "localhost:x"])
def test_other_names_of_this_machine_are_refused(digits, host):
    answer = digits.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "Digits" not in answer.text


def test_other_pages_are_refused(digits, ae):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9000", "https://127.0.0.1:8000"):
        answer = digits.post("/ask/sample?number=0", headers={"origin": origin})
        assert answer.status_code == 403
    own = {"origin": "http://localhost:1234", "host": "localhost:1234"}
    assert digits.post("/ask/sample?number=0", headers=own).status_code == 200


def test_the_page_loads_nothing_from_elsewhere(digits):
    answer = digits.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "&lt;Digits&gt;" in answer.text
    assert not re.search(r"https?://|@import|url\(|<script>", answer.text)
    scripts = re.findall(r'src="(/scripts/[\w.]+)"', answer.text)
    assert len(scripts) == 3
    for script in scripts:
        assert digits.get(script).headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/scripts/..%2fpage.py", "/scripts/page.html", "/../etc/passwd", "/ask/sample", "/x"])
def test_there_is_nothing_else(digits, path):
    answer = digits.get(path)
    assert answer.status_code in {404, 405}
    assert answer.json() == {"error": "There is no such page."}


def test_uploads_are_bounded(digits, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 2**20)
    answer = digits.post("/ask/upload?name=a.png", content=b"0" * (2**20 + 1))
    assert (answer.status_code, answer.json()["error"][:34]) == (413, "The file is larger than 1 MB: choo")


def test_a_fault_is_one_sentence_and_its_cause_is_not_told():
    def fails(query, body):
        raise KeyError("/home/somebody/secret")

    subject = Subject()
    subject.template, subject.title, subject.summary, subject.facts = "watch.html", "", "", {}
    subject.calls = {"fails": fails}
    client = TestClient(application(subject), base_url="http://localhost", raise_server_exceptions=False)
    answer = client.post("/ask/fails")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert explain(MemoryError())[1] == "There is not enough memory for this."
    assert explain(ZeroDivisionError("by zero.")) == (400, "by zero.")


# -------------------------------------------------------------------------------- an autoencoder


def test_a_sample_its_code_and_what_it_decodes_to(digits, ae):
    row = numbers(digits.post("/ask/sample?number=7"))
    np.testing.assert_array_equal(row, DIGITS[7].ravel())
    found = numbers(digits.post("/ask/encode", content=sent(row)))
    np.testing.assert_allclose(found[:6], ae.transform(DIGITS[7:8])[0], rtol=1e-5)
    np.testing.assert_allclose(found[6:], ae.reconstruct(DIGITS[7:8]).ravel(), rtol=1e-5, atol=1e-5)
    code = found[:6] + np.eye(6, dtype=np.float32)[0]
    decoded = numbers(digits.post("/ask/decode", content=sent(code)))
    np.testing.assert_allclose(decoded, ae.inverse_transform(code[None]).ravel(), rtol=1e-5, atol=1e-5)


def test_what_the_page_is_told(digits, ae):
    facts, codes = facts_of(digits), ae.transform(DIGITS)
    assert (facts["n_samples"], facts["n_components"], facts["image_shape"]) == (200, 6, [8, 8, 1])
    assert (facts["low"], facts["high"], facts["dark"]) == (0, 16, True)
    assert facts["units"] == np.argsort(-codes.std(axis=0)).tolist()
    np.testing.assert_allclose(facts["ends"], np.quantile(codes, [0.01, 0.99], axis=0).T, rtol=1e-4)
    assert facts["map"]["n"] == 200
    assert facts["map"]["sprite"].startswith("data:image/png;base64,")
    assert len(facts["map"]["labels"]) == 10


def test_noise_is_what_the_corruption_makes(digits):
    row = DIGITS[3].ravel()
    masked = numbers(digits.post("/ask/noise?kind=masking&amount=0.5", content=sent(row)))
    assert 5 < (masked != row).sum() < 40
    again = numbers(digits.post("/ask/noise?kind=masking&amount=0.5", content=sent(row)))
    np.testing.assert_array_equal(masked, again)
    assert "kind must be one of" in digits.post("/ask/noise?kind=x&amount=1", content=sent(row)).json()["error"]


def test_an_image_is_brought_to_the_size_and_the_range_of_the_samples(digits):
    pixels = np.kron(np.round(DIGITS[5] * 255 / 16).astype(np.uint8), np.ones((4, 4), np.uint8))
    found = numbers(digits.post("/ask/upload?name=five.png", content=png(pixels)))
    assert np.abs(found - DIGITS[5].ravel()).mean() < 1.2


@pytest.mark.parametrize(
    ("call", "body", "sentence"),
    [
        ("sample?number=200", b"", "number must be an integer at least 0 and at most 199; got 200."),
        ("sample?number=x", b"", "number must be a number; got 'x'."),
        ("sample", b"", "number must be a number; got None."),
        ("encode", b"123", "Expected 64 numbers of 4 bytes; got 3 bytes."),
        ("decode", sent([np.nan] * 6), "The codes hold"),
        ("upload?name=a.png", b"", "The file is empty."),
        ("upload?name=../../a.png", b"none", "'a.png' is neither an image"),
        ("upload?name=a.npy", b"none", "'a.npy'"),
        ("noise?kind=masking&amount=2", b"", "amount must be a number at least 0 and at most 1; got 2.0."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(digits, call, body, sentence):
    answer = digits.post(f"/ask/{call}", content=body)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    assert "/tmp" not in answer.text


def test_a_bomb_is_not_decoded(digits, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    answer = digits.post("/ask/upload?name=a.png", content=png(np.zeros((12, 12), np.uint8)))
    assert (answer.status_code, "exceeds limit of 100 pixels" in answer.json()["error"]) == (400, True)


def test_a_table_is_read_by_the_names_of_its_columns():
    ae = Autoencoder(3, training=QUICK, random_state=0).fit(WINE)
    client = client_of(CodeExplorer(ae, WINE))
    assert facts_of(client)["names"] == list(WINE.columns)
    row = numbers(client.post("/ask/sample?number=5"))
    np.testing.assert_allclose(row, WINE.iloc[5], rtol=1e-6)
    assert numbers(client.post("/ask/encode", content=sent(row))).shape == (16,)
    assert numbers(client.post("/ask/noise?kind=Gaussian&amount=0.5", content=sent(row))).shape == (13,)
    mixed = WINE.iloc[5:6, ::-1].assign(more=1).to_csv(index=False).encode()
    np.testing.assert_allclose(numbers(client.post("/ask/upload?name=a.csv", content=mixed)), row, rtol=1e-6)
    fewer = pd.DataFrame(np.ones((1, 3))).to_csv(index=False).encode()
    assert "has 3 numbers: expected 13" in client.post("/ask/upload?name=a.csv", content=fewer).json()["error"]
    assert "is no table" in client.post("/ask/upload?name=a.png", content=png(FLOWER)).json()["error"]


def test_sparse_rows_of_pixels_are_images(ae):
    rows = scipy.sparse.csr_matrix(DIGITS.reshape(200, 64))
    client = client_of(CodeExplorer(Autoencoder(4, training=QUICK, random_state=0).fit(rows), rows, image_shape=(8, 8)))
    assert facts_of(client)["map"]["tile"] == [8, 8]
    np.testing.assert_array_equal(numbers(client.post("/ask/sample?number=7")), DIGITS[7].ravel())


def test_a_stack_without_samples():
    level = Autoencoder(20, code_activation="sigmoid", training=QUICK)
    stack = StackedAutoencoder(
        [("a", level), ("b", Autoencoder(70, code_activation="sigmoid", training=QUICK))],
        training=QUICK,
        random_state=0,
    ).fit(DIGITS.reshape(200, 64))
    client = client_of(CodeExplorer(stack, image_shape=(8, 8)))
    facts = facts_of(client)
    assert (facts["n_samples"], facts["map"], len(facts["units"])) == (0, None, 64)
    assert facts["ends"][0] == [0, 1]
    np.testing.assert_allclose(facts["first"], DIGITS.reshape(200, 64).mean(axis=0), atol=1e-6)
    assert numbers(client.post("/ask/encode", content=sent(facts["first"]))).shape == (134,)
    assert "There are no samples to choose from" in client.post("/ask/sample?number=0").json()["error"]


# -------------------------------------------------------------------------------- photographs


def test_a_photograph_beside_jpeg_of_no_more_bytes(codec):
    opened = codec.post("/ask/sample?number=0").json()
    assert opened["size"] == "128 x 96 pixels"
    found = codec.post(f"/ask/compress?photograph={opened['photograph']}&quality=60").json()
    size, jpeg = (int(re.match(r"([\d,]+) bytes", part["told"])[1].replace(",", "")) for part in found.values())
    data = ImageCodec.pretrained().encode(FLOWER, 60)
    assert size == len(data)
    assert 0.5 * size < jpeg <= size
    assert found["embudo"]["picture"].startswith("data:image/png;base64,")
    smallest = codec.post(f"/ask/compress?photograph={opened['photograph']}&quality=1").json()
    assert smallest["jpeg"] is None


def test_photographs_are_brought_down_and_the_last_few_are_held(codec):
    large = np.random.default_rng(0).integers(256, size=(1100, 1300, 4), dtype=np.uint8)
    first = codec.post("/ask/upload?name=a.png", content=png(large)).json()
    assert first["size"] == "1087 x 919 pixels, brought down from 1300 x 1100"
    for _ in range(4):
        codec.post("/ask/sample?number=0")
    answer = codec.post(f"/ask/compress?photograph={first['photograph']}&quality=5")
    assert answer.json() == {"error": "This photograph is not held any more: open it again."}
    assert (
        "There are no images" in client_of(CodecExplorer(ImageCodec.pretrained())).post("/ask/sample").json()["error"]
    )


def test_noise_is_taken_out_of_a_photograph():
    client = client_of(DenoiserExplorer(ImageDenoiser.pretrained(), [FLOWER]))
    number = client.post("/ask/sample?number=0").json()["photograph"]
    found = client.post(f"/ask/denoise?photograph={number}&sigma=30").json()
    noisy, denoised = (float(re.search(r"([\d.]+) dB", part["told"])[1]) for part in found.values())
    assert denoised > noisy + 5
    assert client.post(f"/ask/denoise?photograph={number}&sigma=0").json()["noisy"]["told"] == "as it is"


# -------------------------------------------------------------------------------- a training


def events_in(text):
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]


def test_a_training_is_told_epoch_by_epoch():
    watch = Watch("Training")
    watch.note("level 1  ", Epoch(1, {"distance": 2.0, "l2": 0.5}, {"loss": 3.0}, 1e-3, 1.0, 100.0))
    watch.finished = True
    events = events_in(client_of(watch).get("/events").text)
    assert events == [
        {"stage": "level 1", "epoch": 1, "losses": {"loss": 2.5, "validation loss": 3.0}, "speed": 100.0},
        {"finished": True},
    ]
    assert watch.told == 1


def shown(ae, X, monkeypatch, **options):
    """Return the pictures of a fit, one an epoch, and one after it."""
    monkeypatch.setattr(watching, "EVERY", 0)
    monkeypatch.setattr(watching, "SHARE", np.inf)
    watch, found = Watch("Training"), []

    def listen(*heard):
        watch.note(*heard)
        found.append(watch.picture)

    with heard_by(listen):
        ae.fit(X, **options)
    watch.draw("In the end")
    return [*found, watch.picture]


def pixels(uri, n, shape):
    """Return the images of a strip, shape (n, height, width[, 3])."""
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert strip.shape == (shape[0], n * (shape[1] + 1) - 1, *shape[2:])
    return np.stack([strip[:, i * (shape[1] + 1) :][:, : shape[1]] for i in range(n)])


@pytest.mark.parametrize("corruption", [None, MaskingNoise(0.5)])
def test_images_are_shown_beside_what_becomes_of_them(monkeypatch, corruption):
    ae = Autoencoder(6, corruption=corruption, training=Training(3, verbose=False), random_state=0)
    *course, end = shown(ae, DIGITS, monkeypatch)
    assert [picture["when"] for picture in course] == ["Epoch 1", "Epoch 2", "Epoch 3"]
    assert len({picture["images"]["samples"] for picture in course}) == 1
    assert len({picture["images"]["reconstructions"] for picture in course}) == 3
    assert end == course[-1] | {"when": "In the end"}
    samples, *given, passed = (pixels(strip, 12, (8, 8)) for strip in end["images"].values())
    chosen = np.linspace(0, 199, 12).astype(int)
    np.testing.assert_allclose(samples, 255 * DIGITS[chosen] / 16, atol=1)
    for seen in given:
        masked = np.abs(seen - samples.astype(float)) > 1
        assert 0.2 < (masked | (samples == 0)).mean() < 1
    if corruption is None:
        assert not given
        np.testing.assert_allclose(passed, 255 * ae.reconstruct(DIGITS[chosen]).clip(0, 16) / 16, atol=1)


def test_images_in_rows_in_colour_and_in_pairs_are_shown(monkeypatch):
    rows = np.random.default_rng(0).random((20, 6 * 5 * 3)).astype(np.float32)
    ae = Autoencoder(4, encoder=ConvNet((4,), image_shape=(6, 5, 3)), training=QUICK, random_state=0)
    found = shown(ae, rows, monkeypatch, X_clean=rows / 2)[-1]["images"]
    clean, noisy, _ = (pixels(strip, 12, (6, 5, 3)).reshape(12, -1) for strip in found.values())
    whole = rows[np.linspace(0, 19, 12).astype(int)]
    low, high = whole.min() / 2, whole.max() / 2
    for shown_as, values in ((clean, whole / 2), (noisy, whole)):
        np.testing.assert_allclose(shown_as, 255 * ((values - low) / (high - low)).clip(0, 1), atol=1)


@pytest.mark.parametrize("kind", ["frame", "sparse", "stream"])
def test_samples_that_are_no_images_are_lines(monkeypatch, kind):
    table = np.random.default_rng(0).normal(size=(60, 40)) * 10.0 ** np.arange(-20, 20)
    table[:, 7] = 3
    kinds = {"frame": pd.DataFrame, "sparse": scipy.sparse.csr_matrix, "stream": lambda X: stream(X, window=1000)}
    ae = Autoencoder(4, corruption=GaussianNoise(0.1), training=QUICK, random_state=0)
    first, *_, end = shown(ae, kinds[kind](table), monkeypatch)
    assert (end["n_shown"], end["n_features"], list(end["lines"])) == (
        32,
        40,
        ["samples", "given", "reconstructions"],
    )
    samples, given, passed = (np.array(rows) for rows in end["lines"].values())
    assert samples.shape == given.shape == passed.shape == (12, 32)
    assert samples.min(axis=0).tolist() == [0] * 32
    assert samples.max(axis=0).tolist() == [1] * 32
    assert 0.01 < np.abs(given - samples).mean() < 0.1
    assert first["lines"]["reconstructions"] != end["lines"]["reconstructions"]


def test_of_a_stack_the_level_that_learns_is_shown_and_a_classifier_shows_none(monkeypatch):
    levels = [(name, Autoencoder(n, training=Training(1))) for name, n in (("edges", 20), ("parts", 5))]
    stack = StackedAutoencoder(levels, training=QUICK, random_state=0)
    found = shown(stack, DIGITS, monkeypatch)
    assert [picture["when"] for picture in found[:3]] == [
        "edges (1/2), epoch 1",
        "parts (2/2), epoch 1",
        "fine-tuning, epoch 1",
    ]
    assert ["images" in picture for picture in found[:3]] == [True, False, True]
    ae = Autoencoder(4, training=Training(1))
    *_, pretrained, last, _ = shown(
        AutoencoderClassifier(ae, training=QUICK, random_state=0), DIGITS, monkeypatch, y=LABELS
    )
    assert last is pretrained
    assert pretrained["when"] == "autoencoder, epoch 1"


def test_pictures_take_a_small_share_of_the_time_and_nothing_of_what_is_learnt(monkeypatch):
    ae = Autoencoder(6, corruption=GaussianNoise(0.3), training=Training(20, verbose=False), random_state=0)
    monkeypatch.setattr(watching, "EVERY", 1000)
    drawn, watch = [], Watch("Training")
    monkeypatch.setattr(watching, "drawn", lambda preview: drawn.append(preview) or {})
    with heard_by(watch.note):
        found = ae.fit_transform(DIGITS)
    assert len(drawn) == 1
    assert (found == clone(ae).fit_transform(DIGITS)).all()
    monkeypatch.setattr(watching, "EVERY", 1)
    monkeypatch.setattr(watching.time, "monotonic", itertools.count(0, 2).__next__)  # drawing takes 2 seconds
    watch.draw("Epoch 1")
    assert watch.next_picture == pytest.approx(2 + 2 / watching.SHARE)


def test_a_fit_is_watched_over_the_network(monkeypatch):
    monkeypatch.setattr(watching, "PATIENCE", 0.2)
    said = []
    ae = Autoencoder(4, training=Training(3, verbose=False), random_state=0)
    with watched("Digits", browser=False, say=said.append) as address:
        ae.fit(DIGITS)
        with urllib.request.urlopen(address, timeout=10) as page:
            assert "<title>Digits: explorer</title>" in page.read().decode()
        with urllib.request.urlopen(f"{address}events", timeout=10) as stream:
            *rows, last = events_in(b"".join(itertools.islice(stream, 8)).decode())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["losses"]["loss"] for row in rows] == ae.history_["loss"]
    assert last["picture"]["when"] == "Epoch 1"
    assert said == [f"Explore at {address} (Ctrl-C ends it)"]


def test_a_training_that_fails_is_over_for_those_who_watch():
    streams = []

    def stopped(address):
        streams.append(urllib.request.urlopen(f"{address}events", timeout=10))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched("", browser=False, say=lambda text: None) as address:
        stopped(address)
    with streams[0] as stream:
        assert events_in(stream.read().decode()) == [{"finished": True}]


@pytest.mark.parametrize("module", ["starlette.applications", "uvicorn"])
def test_without_the_extra_it_is_said_what_to_install(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=re.escape('pip install "embudo[explorer]"')):
        serve(Watch(""), browser=False)


def test_a_port_that_is_taken_is_said_so():
    with served(Watch(""), browser=False, say=lambda text: None) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(InvalidParameter, match=f"Port {port} cannot be had"):
            serve(Watch(""), port=port, browser=False)
