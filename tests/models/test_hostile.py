"""Damaged and forged model files: a right model or one clear sentence, in bounded memory, and no code is run."""

import copy
import json
import resource
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from forging import unchecked

import embudo
from embudo import (
    L1,
    MLP,
    AnomalyDetector,
    Autoencoder,
    AutoencoderClassifier,
    ConvNet,
    GaussianNoise,
    ImageCodec,
    JumpReLU,
    StackedAutoencoder,
    TopK,
    Training,
    load,
)
from embudo.cli.info import describe_model
from embudo.codec.persistence import model_id
from embudo.errors import EmbudoError
from embudo.models.persistence import ESTIMATORS

N_FILES = 20_000
ONCE = Training(1, verbose=False)
X = np.random.default_rng(0).normal(5, 2, size=(40, 6))
FRAME = pd.DataFrame(X, columns=list("abcdef"))
TABLE = FRAME.assign(kind=np.where(X[:, 0] > 5, "high", "low"))
PHOTO = np.random.default_rng(0).integers(256, size=(24, 24, 3), dtype=np.uint8)

#: what a description may be forged to hold, anywhere
VALUES = [
    *(None, True, -1, 0, 1, 2, 10**9, 10**30, -(10**30), 1.5, 1e308, float("nan"), float("inf")),
    *("", "x", "None", "-1", "10**9", "1000000000000", "1e999", "nan", "\0", "\ud800", "\x1b[31m", "a" * 20_000),
    *("__import__('os').system('true')", "lambda: 0", "(1,)*3", "'a'*10**9", "10**10**10", "9" * 5000),
    *("MLP(1000000000000)", "MLP(" + "(" * 500, "TopK(1)", "Training(epochs=3)", "Autoencoder(2)", "L1(1) + 1"),
    *("Autoencoder", "ImageCodec", "ImageDenoiser", "AnomalyDetector", "StackedAutoencoder", "FrozenEstimator"),
    *("../../etc/passwd", "<f8", "|O", "<U100000000", "(1000000,)f8"),
    *([], {}, [[]], [None], [1, 1, 1], {"a": 1}, [["a", {}]], [10**12], [-1, -6], {"loss": [1], "epoch": [[1]]}),
]
NAMES = ["../../../tmp/x", "/etc/passwd", "", "\0", "a" * 1000, "scaler.scale", "0/0/0/x", "module.x", "__metadata__"]
SHAPES = [[], [0], [10**18], [2**63], [-1], [1] * 200, [10**9, 10**9], [0, 10**18], [1]]
OFFSETS = [[0, 10**15], [5, 3], [-1, 4], [2**64, 2**64], [0, 0], None, "x"]
DTYPES = ["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "F4", "XX", 5]
METADATA = [None, {}, {"embudo": "[]"}, {"embudo": "null"}, {"embudo": "{}"}, {"embudo": 5}, "x"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of each class, by name: the model, its file, a method of it and what this is given."""
    ae = Autoencoder(2, scale="standard", training=ONCE, random_state=0)
    every_part = {"sparsity": TopK(2), "penalty": L1(0.1), "corruption": GaussianNoise(0.1), "encoder": MLP(4)}
    levels = [("one", Autoencoder(4, sparsity=JumpReLU(), training=ONCE)), ("two", ae)]
    detector = AnomalyDetector(ae, criterion="whitened", n_subsampled=0, random_state=0)
    images = X.reshape(-1, 2, 3, 1)
    fitted = {
        "autoencoder": (Autoencoder(3, **every_part, training=ONCE, random_state=0).fit(FRAME), "transform", FRAME),
        "of images": (
            Autoencoder(3, encoder=ConvNet(2), tied=True, training=ONCE, random_state=0).fit(images),
            "transform",
            images,
        ),
        "stack": (StackedAutoencoder(levels, training=ONCE, random_state=0).fit(X), "transform", X),
        "classifier": (AutoencoderClassifier(ae, training=ONCE, random_state=0).fit(X, TABLE["kind"]), "predict", X),
        "detector": (detector.fit(TABLE).calibrate(TABLE, 0.2), "predict", TABLE),
        "codec": (ImageCodec(2, block=4, method="linear").fit([PHOTO]), "encode", PHOTO),
    }
    path = tmp_path_factory.mktemp("models") / "m.safetensors"
    files = {}
    for name, (model, method, data) in fitted.items():
        timeless(model)
        model.save(path)
        files[name] = (model, path.read_bytes(), method, data)
    return files


def timeless(model):
    """Forget how long a training took, so that the same files are tried each time."""
    for table in (model.history_, getattr(model, "stages_", {})):
        for name in {"seconds", "samples_per_second"} & set(table):
            table[name] = [1.0] * len(table[name])
    for within in getattr(model, "_inner", dict)().values():
        timeless(within)


# ---------------------------------------------------------------------- what is done to a file


def opened(file):
    """Return the header of a safetensors file, and what follows it."""
    n = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + n]), file[8 + n :]


def closed(header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def damaged(rng, file):
    """Return a file with bits flipped, bytes replaced, put in or left out, or of random bytes."""
    at, n = rng.integers(len(file)), rng.integers(1, 20)
    match rng.integers(7):
        case 0:
            return file[:at]
        case 1:
            return file[:at] + rng.bytes(n) + file[at:]
        case 2:
            return file[:at] + file[at + n :]
        case 3:
            return rng.bytes(rng.integers(200))
        case 4:
            return rng.bytes(8 if rng.random() < 0.5 else 2).ljust(8, b"\0") + file[8:]
    spoilt = bytearray(file)
    for _ in range(rng.integers(1, 5)):
        spoilt[rng.integers(len(file))] ^= 1 << rng.integers(8)
    return bytes(spoilt)


def choice(rng, values):
    return copy.deepcopy(values[rng.integers(len(values))])


def forged_header(rng, file):
    """Return a file whose tensors are said to be something else."""
    header, body = opened(file)
    card = unchecked(header["__metadata__"]["embudo"])
    header["__metadata__"]["embudo"] = json.dumps(card)
    names = [name for name in header if name != "__metadata__"]
    name = choice(rng, names)
    match rng.integers(9):
        case 0:
            header[name]["dtype"] = choice(rng, DTYPES)
        case 1:
            header[name]["shape"] = choice(rng, [*SHAPES, header[name]["shape"][::-1]])
        case 2:
            header[name]["data_offsets"] = choice(rng, OFFSETS)
        case 3:
            header[choice(rng, NAMES)] = header.pop(name)
        case 4:
            del header[name]
        case 5:
            other = choice(rng, names)
            header[name], header[other] = header[other], header[name]
        case 6:
            header["extra"] = dict(header[name])
        case 7:
            header["__metadata__"] = choice(rng, METADATA)
        case 8:  # a key twice
            twice = json.dumps({name: header[name]})[1:-1]
            return closed(f"{json.dumps(header)[:-1]}, {twice}}}".encode(), body)
    return closed(header, body)


def places(node, at=()):
    """Yield the way to each value of a description."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from places(value, (*at, key))


def forged_card(rng, file):
    """Return a file that describes another model, by the rules of the format."""
    header, body = opened(file)
    card = unchecked(header["__metadata__"]["embudo"])
    for _ in range(rng.integers(1, 3)):
        *way, last = choice(rng, list(places(card)))
        node = card
        for key in way:
            node = node[key]
        value, chance = node[last], rng.random()
        if chance < 0.6:
            node[last] = choice(rng, VALUES)
        elif chance < 0.75:
            del node[last]
        elif isinstance(value, str) and value:
            at = rng.integers(len(value))
            node[last] = value[:at] + chr(rng.integers(32, 127)) + value[at + rng.integers(2) :]
        elif type(value) in (int, float):
            node[last] = value * choice(rng, [-1, 10, 1e9, 0.5])
        else:
            node[last] = choice(rng, [copy.deepcopy(card), [value], {"a": value}])
    header["__metadata__"]["embudo"] = json.dumps(card)
    return closed(header, body)


def forged_tensor(rng, file):
    """Return a file of which a tensor holds other values."""
    header, _ = opened(file)
    tensors = {name: tensor.copy() for name, tensor in safetensors.numpy.load(file).items()}
    name = choice(rng, list(tensors))
    values = tensors[name].reshape(-1)
    limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    extremes = [0, 1, limits.min, limits.max, *([] if values.dtype.kind in "iu" else [np.nan, np.inf, 1e-40])]
    values[rng.integers(len(values) or 1) :: rng.integers(1, 4)] = choice(rng, extremes)
    card = unchecked(header["__metadata__"]["embudo"])
    if card["class"] == "ImageCodec":
        card["model_id"] = model_id(tensors)
    return safetensors.numpy.save(tensors, metadata={"embudo": json.dumps(card)})


FORGERIES = (forged_header, forged_card, forged_card, forged_tensor)


# ---------------------------------------------------------------------- what comes of it


class Watch:
    """Notes what Python is told to run or to open, other than one file."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self)

    def __call__(self, event, args):
        if self.on and event in {"exec", "os.system", "os.exec", "subprocess.Popen", "pickle.find_class", "open"}:
            self.seen.append((event, str(args[0])[:80]))


WATCH = Watch()


def refused(path):
    """Return the sentence by which a file is refused, or None and the model in it."""
    WATCH.on = True
    try:
        return None, load(path)
    except EmbudoError as error:
        return str(error), None
    finally:
        WATCH.on = False


def is_a_sentence(text):
    return text.endswith(".") and "\n" not in text and len(text) < 600 and text.isprintable()


def works(model, path, method, data):
    """Tell whether a model does what its class says, or refuses the data; also whether it can be described."""
    describe_model(path)
    try:
        result = getattr(model, method)(data)
    except EmbudoError:
        return True
    return len(result) == len(data) or method == "encode"


def test_twenty_thousand_spoilt_files(models, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "m.safetensors"
    for name in ESTIMATORS:  # whatever is imported late is so now
        getattr(embudo, name)
    for _, file, *_ in models.values():
        path.write_bytes(file)
        assert refused(path)[0] is None
        describe_model(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    WATCH.seen.clear()
    names, unnoticed, unclear, wrong = list(models), [], [], []
    for number in range(N_FILES):
        name = names[number % len(names)]
        model, file, method, data = models[name]
        turn = number // len(names) % 20  # a fifth is forged
        forge = FORGERIES[turn] if turn < len(FORGERIES) else damaged
        spoilt = forge(rng, file)
        path.write_bytes(spoilt)
        sentence, again = refused(path)
        if sentence is not None:
            unclear += [] if is_a_sentence(sentence) else [(number, sentence)]
        elif forge is damaged:
            unnoticed += [] if spoilt == file else [number]  # a bit may be flipped twice
        elif type(again) is type(model):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wrong += [] if works(again, path, method, data) else [number]
    assert unnoticed == []
    assert unclear == []
    assert wrong == []
    assert WATCH.seen == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
