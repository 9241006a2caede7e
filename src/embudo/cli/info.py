"""``embudo info``: what a model, a data file or a compressed image holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.options import PATH, DataSource, data_options
from embudo.cli.output import json_text
from embudo.cli.tables import print_facts
from embudo.errors import printable

if TYPE_CHECKING:
    from embudo.apps.denoising import ImageDenoiser
    from embudo.apps.detection import AnomalyDetector
    from embudo.models.autoencoder import Autoencoder

SHOWN = 8  #: column names that are written out


@click.command()
@click.argument("file", metavar="MODEL|DATA|IMAGE.emb", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_options
def info(file: Path, as_json: bool, source: DataSource) -> None:
    """Tell what a model file, a data set or a compressed image holds."""
    match file.suffix.lower():
        case ".safetensors":
            facts = describe_model(file)
        case ".emb":
            facts = describe_compressed(file)
        case _:
            facts = describe_data(source.read(file))
    if as_json:
        click.echo(json_text(facts))
        return
    print_facts(in_lines(facts))


def in_lines(facts: dict[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and text of each fact; what has parts with facts of their own is followed by these, indented."""
    for name, value in facts.items():
        has_parts = isinstance(value, dict) and any(isinstance(part, dict) for part in value.values())
        yield indent + printable(name.replace("_", " ")), "" if has_parts else printable(_text(value))
        if has_parts:
            yield from in_lines(value, indent + "  ")


def describe_model(path: Path) -> dict[str, Any]:
    """Return what the model file at `path` holds, by name."""
    from embudo.models.persistence import load, read_card

    card = read_card(path)
    if card.get("class") == "ImageCodec":
        return describe_codec(path)
    model = load(path)
    describe = describe_denoiser if card["class"] == "ImageDenoiser" else describe_estimator
    return describe(model) | {"versions": card["versions"], "file_size": path.stat().st_size}


def describe_estimator(model: Any) -> dict[str, Any]:
    """Return what a fitted estimator is and has learnt, by name; also those that it is made of."""
    if hasattr(model, "autoencoders_"):
        return describe_detector(model)
    facts: dict[str, Any] = {
        "model": type(model).__name__,
        **{
            name: str(getattr(model, f"{name}_", getattr(model, name)))
            for name in sorted(model.get_params(deep=False))
            if name not in {"n_components", "layers", "autoencoder"}
        },
        "features": model.n_features_in_,
        "sample_shape": model.sample_shape_,
    }
    if hasattr(model, "classes_"):
        facts["classes"] = model.classes_.tolist()
    else:
        facts["code_size"] = model.n_components_
    facts["weights"] = sum(p.numel() for p in model.module_.parameters())
    facts["scaling"] = model.scaler_.kind
    facts["last_epoch"] = {name: column[-1] for name, column in model.history_.items() if column}
    if hasattr(model, "layers_"):
        names, *columns = model.stages_.items()
        facts["levels"] = {name: describe_level(level) for name, level in model.layers_}
        facts["stages"] = {
            stage: {name: column[row] for name, column in columns if name != "n_components"}
            for row, stage in enumerate(names[1])
        }
    if hasattr(model, "autoencoder_"):
        facts["autoencoder"] = describe_estimator(model.autoencoder_)
    return facts


def describe_detector(model: AnomalyDetector) -> dict[str, Any]:
    """Return what a fitted detector is and has learnt, by name."""
    params = {name: str(value) for name, value in sorted(model.get_params(deep=False).items()) if name != "autoencoder"}
    facts: dict[str, Any] = {"model": type(model).__name__, **params, "features": model.n_features_in_}
    if model.table_ is not None:
        columns = model.table_.columns
        facts["categories"] = {column.name: len(column.categories) for column in columns if column.categories}
        facts["columns_with_gaps"] = [column.name for column in columns if column.missing]
    facts["threshold"] = model.offset_
    if model.calibration_ is not None:
        facts["false_alarm_rate"] = model.calibration_.false_alarm_rate
        facts["calibrated_on"] = len(model.calibration_.scores)
    return facts | {"autoencoder": describe_estimator(model.autoencoders_[0])}


def describe_level(level: Autoencoder) -> dict[str, Any]:
    """Return the size of a level's code, and the parameters that are not the defaults."""
    default = type(level)().get_params(deep=False) | {"n_components": level.n_components}
    params = level.get_params(deep=False).items()
    return {
        "code_size": level.n_components_,
        **{name: str(value) for name, value in params if repr(value) != repr(default[name])},
    }


def describe_codec(path: Path) -> dict[str, Any]:
    """Return what the codec at `path` is, by name."""
    from embudo.codec.image_codec import ImageCodec

    codec = ImageCodec.load(path)
    return {
        "model": "ImageCodec",
        "model_id": codec.model_id_,
        "channels": codec.channels_,
        "block": codec.block,
        "code_size": codec.n_components_,
        "weights": sum(p.numel() for p in codec.module_.parameters()),
        "rate_distortion": {
            f"quality {quality}": {"bits_per_pixel": bpp, "psnr": db}
            for quality, bpp, db in zip(*codec.history_.values(), strict=True)
        },
        "file_size": path.stat().st_size,
    }


def describe_denoiser(model: ImageDenoiser) -> dict[str, Any]:
    """Return what a denoiser is, by name."""
    return {
        "model": "ImageDenoiser",
        "images": list(model.module_),
        "noise": str(model.noise),
        "can_be_told_sigma": model.told_,
        "weights": sum(p.numel() for p in model.module_.parameters()),
        "last_epoch": {name: column[-1] for name, column in model.history_.items() if column},
    }


def describe_compressed(path: Path) -> dict[str, Any]:
    """Return what a compressed image says of itself, by name; nothing is decoded."""
    from embudo.codec.container import unpack
    from embudo.codec.quantize import step_of

    content = unpack(path.read_bytes())
    header, size = content.header, path.stat().st_size
    return {
        "file": "compressed image" if header.frames == 1 else "compressed images",
        "images": header.frames,
        "width": header.width,
        "height": header.height,
        "channels": ("grey", "grey and alpha", "RGB", "RGB and alpha")[header.channels - 1],
        "step": step_of(header.level),
        "model_id": header.model_id.hex(),
        "streams": len(content.segments),
        "kept_beside": {kind: len(chunk) for kind, chunk in content.chunks.items()},
        "bits_per_pixel": 8 * size / (header.width * header.height * header.frames),
        "file_size": size,
    }


def describe_data(data: Any) -> dict[str, Any]:
    """Return shape, types, range, and what would spoil a training, of an array or a frame."""
    import numpy as np

    facts: dict[str, Any] = {"data": "array", "shape": data.shape, "dtype": str(getattr(data, "dtype", ""))}
    names: Any = None
    if hasattr(data, "select_dtypes"):
        numeric = data.select_dtypes(["number", "bool"])
        text = [str(name) for name in data.columns if name not in set(numeric.columns)]
        facts |= {"data": "table", "dtype": ", ".join(sorted({str(kind) for kind in data.dtypes}))}
        facts["columns_not_numeric"] = text
        names, data = list(map(str, numeric.columns)), numeric.to_numpy()
    elif data.ndim == 4:
        facts["data"] = "images"
    if data.dtype.kind not in "biuf" or not data.size:
        return facts
    rows = data.reshape(len(data), -1)
    finite = rows if rows.dtype.kind != "f" else rows[np.isfinite(rows)]
    constant = np.flatnonzero((rows == rows[0]).all(axis=0)) if len(rows) > 1 else ()
    return facts | {
        "least": finite.min().item() if finite.size else None,
        "greatest": finite.max().item() if finite.size else None,
        "not_finite": int(rows.size - finite.size),
        "constant_columns": [names[i] if names else int(i) for i in constant],
    }


def _text(value: Any) -> str:
    match value:
        case dict():
            return "  ".join(f"{name.replace('_', ' ')} {_text(inner)}" for name, inner in value.items()) or "none"
        case float():
            return f"{value:.6g}"
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case tuple():
            return " x ".join(map(str, value))
        case list():
            shown = ", ".join(map(str, value[:SHOWN])) + (", ..." if len(value) > SHOWN else "")
            return f"{len(value)} ({shown})" if value else "none"
    return "none"
