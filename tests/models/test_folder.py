"""A model as a folder: read back as it was, with a card of facts."""

import json

import numpy as np
import pytest
import zoo

from embudo import Autoencoder, AutoencoderClassifier, StackedAutoencoder, TopK, Training, load
from embudo.errors import FileFormatError
from embudo.models.folder import write_folder

X = zoo.digits()
QUICK = Training(2, verbose=False)
SPARSE = Autoencoder(9, sparsity=TopK(3), training=QUICK, random_state=0)


def test_a_folder_is_read_as_the_model(tmp_path):
    labels = np.array(["odd|ly", "even"])[np.arange(200) % 2]
    model = AutoencoderClassifier(SPARSE, training=QUICK, random_state=0).fit(X, labels)
    write_folder(model, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    np.testing.assert_array_equal(load(folder).predict_proba(X), model.predict_proba(X))
    config = json.loads((folder / "config.json").read_text(), parse_constant=pytest.fail)
    assert config["class"] == "AutoencoderClassifier"
    assert config["classes"] == ["even", "odd|ly"]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: embudo\n")
    assert "| classes | ['even', 'odd\\|ly'] |" in card
    assert f"| last loss | {model.history_['loss'][-1]:.6g} |" in card


def test_levels_of_a_stack_are_facts(tmp_path):
    stack = StackedAutoencoder([("strokes", SPARSE), ("digits", Autoencoder(2, training=QUICK))], training=QUICK)
    write_folder(stack.fit(X), tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "| level strokes | `Autoencoder` |" in card
    assert "| features | 64 |" in card


def test_a_folder_that_cannot_be_or_holds_no_model(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match=r"^Cannot write '.*file/folder': Not a directory\.$"):
        write_folder(SPARSE, tmp_path / "file" / "folder")
    with pytest.raises(FileFormatError, match=r"^No such model file: '"):
        load(tmp_path)
