"""Model files that are forged, damaged, or of another version, end in one sentence."""

import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from forging import put_together, taken_apart
from sentences import one_sentence

from embudo import L1, MLP, Autoencoder, Training, load
from embudo.errors import FileFormatError, InvalidParameter

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 6))
ONCE = Training(epochs=1)
NAN, INF = np.nan, np.inf


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(2, encoder=MLP(4), penalty=L1(0.1), training=ONCE, random_state=0).fit(X)


def saved(path, model, change=lambda card: None, weights=lambda tensors: None):
    """Write the model file with its description and its tensors changed."""
    model.save(path)
    card, tensors = taken_apart(path)
    change(card)
    weights(tensors)
    put_together(path, card, tensors)
    return path


def of_params(**params):
    return lambda card: card["params"].update(params)


def of_card(**entries):
    return lambda card: card.update(entries)


FORGED = {
    "unknown class": (
        of_card(**{"class": "Exploit"}),
        r"The class must be one of 'Autoencoder', .*; got 'Exploit'",
    ),
    "unknown part": (of_params(penalty="L9(1)"), r"Unknown part 'L9'"),
    "code for a part": (of_params(encoder="__import__('os').abort()"), r"Cannot read"),
    "broken part": (of_params(encoder="MLP((4,"), r"Cannot read 'MLP\(\(4,'"),
    "more units to speak than there are": (
        of_params(sparsity="TopK(5)"),
        r"TopK\.k must be at most n_components=2; got 5",
    ),
    "another rule": (of_params(sparsity="JumpReLU(0.1)"), r"'sparsity\.log_threshold' should be \(2,\) and is absent"),
    "a part in the wrong place": (of_params(encoder="L1(1)"), r"encoder must be a part such as MLP\(\(128, 64\)\)"),
    "unknown parameter": (of_params(shell="1"), r"has no parameter 'shell'"),
    "other layers": (of_params(encoder="MLP(5)"), r"The weights do not fit the parts: '.*' should be .* and is"),
    "absurd layers": (of_params(encoder="MLP(1000000000000)"), r"The weights do not fit the parts"),
    "absurd channels": (
        of_params(encoder=f"ConvNet({10**12}, image_shape=(2, 3))"),
        r"The weights do not fit the parts",
    ),
    "overflowing channels": (of_params(encoder=f"ConvNet(({10**18}, {10**18}), image_shape=(2, 3))"), r"overflow"),
    "another image": (of_params(encoder="ConvNet(4, image_shape=(2, 2))"), r"image_shape=\(2, 2\) has 4 values, but X"),
    "absurd code": (of_params(n_components="1000000000000"), r"The weights do not fit the parts"),
    "absurd features": (of_card(n_features_in=10**12), r"scaling is not 1000000000000 finite numbers"),
    "no features": (of_card(n_features_in=0), r"number of features must be an integer at least 1; got 0"),
    "features as text": (of_card(n_features_in="6"), r"number of features must be an integer"),
    "names that do not fit": (of_card(feature_names_in=["a"]), r"does not name its 6 features"),
    "a shape that does not fit": (of_card(sample_shape=[7]), r"Samples of shape \[7\] do not have 6 features"),
    "an absurd shape": (of_card(sample_shape=[10**12]), r"do not have 6 features"),
    "unknown scaling": (of_card(scaling="cubic"), r"The scaling must be one of .*; got 'cubic'"),
    "scaling that is not said": (of_card(scaling=None), r"scales, but no scaling"),
    "names as one text": (of_card(feature_names_in="abcdef"), r"does not name its 6 features"),
    "a shape of less than nothing": (of_card(sample_shape=[-1, -6]), r"do not have 6 features"),
    "history that is no table": (of_card(history={"loss": 5}), r"history is not a table"),
    "a ragged history": (
        of_card(history={"loss": [1.0, 2.0], "epoch": [1]}),
        r"history is not a table of columns of one",
    ),
    "a history of lists": (of_card(history={"loss": [[1.0]]}), r"history is a table of neither numbers nor text"),
    "infinite seed": (of_card(seed=INF), r"cannot convert float infinity to integer"),
    "functions without names": (of_card(callables=[["loss"]]), r"its description cannot be read"),
    "functions that are no parameters": (of_card(callables={"a b": "f"}), r"its callables have no names"),
    "a writer of several lines": (
        of_card(format_version=99, versions={"embudo": "2\nError"}),
        r"its version is none",
    ),
    "seed as text": (of_card(seed="x"), r"invalid literal"),
    "description without version": (lambda card: card.pop("format_version"), r"'format_version' is missing"),
    "description without parameters": (lambda card: card.pop("params"), r"'params' is missing"),
    "version as text": (of_card(format_version="one"), r"its description cannot be read"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_model_file_with_a_forged_description(what, fitted, tmp_path):
    change, words = FORGED[what]
    path = saved(tmp_path / "m.safetensors", fitted, change)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=rf"^'.*m\.safetensors' is damaged.*{words}") as error:
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one_sentence(error)
    assert peak < 2**26


def replaced(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


TENSORS = {
    "a weight of another shape": (
        replaced("encoder.0.weight", torch.zeros(6, 4)),
        r"should be \(4, 6\) and is \(6, 4\)",
    ),
    "a weight too many": (replaced("extra", torch.zeros(1)), r"'extra' should be absent and is \(1,\)"),
    "a weight missing": (lambda tensors: tensors.pop("decoder.0.bias"), r"should be \(4,\) and is absent"),
    "integer weights": (
        replaced("encoder.0.bias", torch.zeros(4, dtype=torch.int64)),
        r"must be all float32 or all float64",
    ),
    "offsets of another number": (
        replaced("scaler.offset", torch.zeros(5, dtype=torch.float64)),
        r"scaling is not 6 finite",
    ),
    "scales of zero": (replaced("scaler.scale", torch.zeros(6, dtype=torch.float64)), r"not all greater than 0"),
    "scales that vanish": (
        replaced("scaler.scale", torch.full((6,), 1e-320, dtype=torch.float64)),
        r"scales are too small for the offsets",
    ),
    "a weight that is NaN": (replaced("encoder.0.bias", torch.full((4,), NAN)), r"A weight is not finite"),
    "scales that are NaN": (replaced("scaler.scale", torch.full((6,), NAN, dtype=torch.float64)), r"is not 6 finite"),
    "scales missing": (lambda tensors: tensors.pop("scaler.scale"), r"'scaler\.scale' is missing"),
}


@pytest.mark.parametrize("what", TENSORS)
def test_a_model_file_with_forged_tensors(what, fitted, tmp_path):
    weights, words = TENSORS[what]
    path = saved(tmp_path / "m.safetensors", fitted, weights=weights)
    with pytest.raises(FileFormatError, match=rf"^'.*m\.safetensors' is damaged.*{words}") as error:
        load(path)
    one_sentence(error)


def test_a_bit_that_was_flipped_in_a_weight_is_noticed(fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    file = bytearray((tmp_path / "m.safetensors").read_bytes())
    file[-1] ^= 1
    (tmp_path / "m.safetensors").write_bytes(file)
    with pytest.raises(FileFormatError, match=r"m\.safetensors' is damaged: it does not hold what was saved") as error:
        load(tmp_path / "m.safetensors")
    one_sentence(error)


def test_a_model_file_of_a_newer_format(fitted, tmp_path):
    path = saved(tmp_path / "m.safetensors", fitted, lambda card: card.update(format_version=99))
    words = r"was written by embudo .*, in a format newer than embudo .* reads: upgrade embudo"
    with pytest.raises(FileFormatError, match=words) as error:
        load(path)
    one_sentence(error)


def truncated(path, model):
    model.save(path)
    path.write_bytes(path.read_bytes()[:-10])


def of_another_program(path, model):
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)


def of_nested_description(path, model):
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, metadata={"embudo": "[" * 100_000})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path, model: None, r"^No such model file: '.*m\.safetensors'"),
        (lambda path, model: path.mkdir(), r"^No such model file: '.*m\.safetensors'"),
        (
            lambda path, model: path.write_text("hello"),
            r"m\.safetensors' is not a model file, or it is truncated or dam",
        ),
        (lambda path, model: path.write_bytes(b""), r"is not a model file, or it is truncated or damaged"),
        (lambda path, model: path.write_bytes(b"\xff" * 64), r"is not a model file, or it is truncated or damaged"),
        (truncated, r"is not a model file, or it is truncated or damaged"),
        (of_another_program, r"is a safetensors file, but not a model that embudo saved"),
        (of_nested_description, r"its description cannot be read"),
    ],
    ids=["missing", "folder", "text", "empty", "absurd length", "truncated", "another program's", "nested"],
)
def test_a_file_that_is_no_model(make, words, fitted, tmp_path):
    path = tmp_path / "m.safetensors"
    make(path, fitted)
    with pytest.raises(FileFormatError, match=words) as error:
        load(path)
    one_sentence(error)


def own_loss(output, target):
    return (output - target).abs().sum(1)


def test_a_model_with_a_loss_of_ones_own_asks_for_it(tmp_path):
    path = tmp_path / "m.safetensors"
    Autoencoder(2, loss=own_loss, training=ONCE, random_state=0).fit(X).save(path)
    with pytest.raises(
        InvalidParameter, match=r"which a file cannot hold: give it as load\(path, loss=\.\.\.\)"
    ) as error:
        load(path)
    one_sentence(error)
    assert load(path, loss=own_loss).loss is own_loss


def own_noise(x, generator):
    return x + 0.1


def test_a_model_with_a_corruption_of_ones_own_asks_for_it(tmp_path):
    path = tmp_path / "m.safetensors"
    Autoencoder(2, corruption=own_noise, loss=own_loss, training=ONCE, random_state=0).fit(X).save(path)
    with pytest.raises(InvalidParameter, match=r"give it as load\(path, corruption=\.\.\., loss=\.\.\.\)") as error:
        load(path)
    one_sentence(error)
    assert load(path, corruption=own_noise, loss=own_loss).corruption is own_noise


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_model_for_a_device_that_is_not_there(device, fitted, tmp_path):
    fitted.save(tmp_path / "m.safetensors")
    with pytest.raises(InvalidParameter, match=rf"device='{device}' is not available here: use \"cpu\"") as error:
        load(tmp_path / "m.safetensors", device=device)
    one_sentence(error)


def test_saving_into_a_folder_that_is_not_there(fitted, tmp_path):
    with pytest.raises(
        FileFormatError, match=r"^Cannot write '.*nowhere/m\.safetensors': No such file or dir"
    ) as error:
        fitted.save(tmp_path / "nowhere" / "m.safetensors")
    one_sentence(error)
    assert list(tmp_path.iterdir()) == []


def test_saving_over_a_folder_leaves_nothing_behind(fitted, tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(FileFormatError, match=r"^Cannot write '.*m': Is a directory") as error:
        fitted.save(tmp_path / "m")
    one_sentence(error)
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]
