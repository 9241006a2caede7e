"""Models as folders, laid out as Hugging Face's hub keeps them: the model file, its description, and a card to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from embudo.data.files import write_atomically
from embudo.errors import FileFormatError
from embudo.models.persistence import IN_FOLDERS, read_card

CARD = """---
library_name: embudo
tags:
- autoencoder
- embudo
---

# {name}

A model of class `{name}`, in one file without code: `{file}`. `config.json` is what the file says of itself.

```python
from embudo import load

model = load("this-folder")  # or the file in it
```

| fact | value |
| --- | --- |
{facts}
"""


#: what of a description goes into config.json
DESCRIBED = ("class", "params", "n_features_in", "feature_names_in", "sample_shape", "scaling", "classes", "versions")


def write_folder(model: Any, folder: str | Path) -> None:
    """Write a fitted model as a folder, that `embudo.load` reads and any tool can upload.

    Parameters
    ----------
    model : estimator
        One with a method `save`.
    folder : str or Path
        Made where it is missing. The files in it are replaced, each as a whole.

    Raises
    ------
    FileFormatError
        If the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(f"Cannot write '{folder}': {error.strerror}.") from None
    model.save(folder / IN_FOLDERS)
    card = read_card(folder / IN_FOLDERS)
    config = {key: card[key] for key in DESCRIBED if key in card}
    write_atomically(folder / "config.json", json.dumps(config, indent=2).encode())
    rows = (f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in facts(card).items())
    text = CARD.format(name=card["class"], file=IN_FOLDERS, facts="\n".join(rows))
    write_atomically(folder / "README.md", text.encode())


def facts(card: dict[str, Any]) -> dict[str, Any]:
    """Return what a description says that is worth reading, by name."""
    params = {name: f"`{text}`" for name, text in card["params"].items() if isinstance(text, str) and text != "None"}
    size = {
        name.replace("_", " "): card[key]
        for name, key in (("features", "n_features_in"), ("shape_of_a_sample", "sample_shape"), ("classes", "classes"))
        if card.get(key) is not None
    }
    history = card["history"]
    last = {f"last {name.replace('_', ' ')}": f"{column[-1]:.6g}" for name, column in history.items() if column}
    levels = {f"level {name}": f"`{level['class']}`" for name, level in card.get("inner", [])}
    versions = ", ".join(f"{library} {version}" for library, version in card["versions"].items())
    return params | size | levels | last | {"written by": versions}
