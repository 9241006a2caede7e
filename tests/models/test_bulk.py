"""Batches encoded for other engines, and their collections."""

import os
import pickle
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from embudo import AnomalyDetector, Autoencoder, BatchEncoder, ConvNet, StackedAutoencoder, Training
from embudo.errors import InvalidData, InvalidParameter

QUICK = Training(1, verbose=False)


@pytest.fixture(scope="module")
def table():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32), columns=list("abcde"))
    return X.assign(key=np.arange(60), note="text")


@pytest.fixture(scope="module")
def named(table):
    return Autoencoder(2, training=QUICK, random_state=0).fit(table[list("abcde")])


@pytest.fixture(scope="module")
def unnamed(table):
    return Autoencoder(2, training=QUICK, random_state=0, sparse_output=True).fit(table[list("abcde")].to_numpy())


@pytest.mark.parametrize("model", ["named", "unnamed"])
def test_tables_are_encoded_beside_what_is_kept(request, table, model):
    model = request.getfixturevalue(model)
    X, encoder = table[list("abcde")], BatchEncoder(model, keep=("note", "key"))
    expected = model.transform(X if hasattr(model, "feature_names_in_") else X.to_numpy())
    expected = expected.toarray() if hasattr(expected, "toarray") else expected
    shuffled = table.sample(frac=1, random_state=0)
    encoded = encoder(shuffled)
    assert encoded.columns.tolist() == ["note", "key", "autoencoder0", "autoencoder1"]
    assert encoded.index.equals(shuffled.index)
    np.testing.assert_allclose(encoded.sort_index()[encoder.names], expected, rtol=1e-5)
    columns = encoder({name: table[name].to_numpy() for name in table})
    assert columns["key"].tolist() == list(range(60))
    np.testing.assert_allclose(np.stack([columns[name] for name in encoder.names], axis=1), expected, rtol=1e-5)
    nothing = encoder(table[:0])
    assert nothing.shape == (0, 4)
    assert nothing["autoencoder0"].dtype == np.float32


def test_images_and_levels_of_stacks():
    images = np.random.default_rng(0).integers(256, size=(20, 8, 8, 1), dtype=np.uint8)
    levels = [
        ("edges", Autoencoder(6, encoder=ConvNet((4,)), training=QUICK)),
        ("parts", Autoencoder(2, training=QUICK)),
    ]
    stack = StackedAutoencoder(levels, training=QUICK, random_state=0).fit(images)
    encoder = BatchEncoder(stack, level="edges")
    assert encoder.names == [f"edges_{i}" for i in range(6)]
    codes = encoder({"image": images})
    np.testing.assert_array_equal(np.stack(list(codes.values()), axis=1), stack.transform(images, "edges"))


def test_a_file_is_read_once_and_again_when_it_has_changed(named, table, tmp_path, monkeypatch):
    named.save(tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    encoder = BatchEncoder("model.safetensors")
    monkeypatch.chdir("/")
    sent = pickle.dumps(encoder)
    assert len(sent) < 1000
    model = pickle.loads(sent).autoencoder
    assert pickle.loads(sent).autoencoder is model
    other = Autoencoder(3, training=QUICK, random_state=0).fit(table[list("abcde")])
    other.save(tmp_path / "model.safetensors")
    assert len(encoder.names) == 3


def test_dask_collections_are_encoded_lazily(named, table, tmp_path):
    dask = pytest.importorskip("dask")
    da, dd = pytest.importorskip("dask.array"), pytest.importorskip("dask.dataframe")
    X = table[list("abcde")]
    unnamed = Autoencoder(2, training=QUICK, random_state=0).fit(X.to_numpy())
    expected = unnamed.transform(X.to_numpy())
    with dask.config.set(scheduler="synchronous"):
        codes = BatchEncoder(unnamed).map(da.from_array(X.to_numpy(), chunks=(25, 2)))
        assert codes.shape == (60, 2)
        assert codes.dtype == np.float32
        np.testing.assert_allclose(codes.compute(), expected, rtol=1e-5)
        zarr = pytest.importorskip("zarr")
        codes.to_zarr(tmp_path / "codes.zarr")
        np.testing.assert_allclose(zarr.open(tmp_path / "codes.zarr")[:], expected, rtol=1e-5)
        frame = dd.from_pandas(table, npartitions=3)
        encoded = BatchEncoder(named, keep="key").map(frame[frame.key < 50])
        assert encoded.columns.tolist() == ["key", "autoencoder0", "autoencoder1"]
        found = encoded.compute()
        assert found.key.tolist() == list(range(50))
        np.testing.assert_allclose(found[["autoencoder0", "autoencoder1"]], expected[:50], rtol=1e-5)


def test_dask_arrays_of_images():
    da = pytest.importorskip("dask.array")
    images = np.random.default_rng(0).random((20, 4, 4, 1), dtype=np.float32)
    ae = Autoencoder(3, training=QUICK, random_state=0).fit(images)
    codes = BatchEncoder(ae).map(da.from_array(images, chunks=(7, 2, 4, 1)))
    assert codes.chunks == ((7, 7, 6), (3,))
    np.testing.assert_allclose(codes.compute(scheduler="synchronous"), ae.transform(images), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_ray_datasets_are_encoded_by_actors(named, table, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=2**28)
    try:
        named.save(tmp_path / "model.safetensors")
        table.to_parquet(tmp_path / "rows.parquet", row_group_size=10)
        rows = ray.data.read_parquet(str(tmp_path / "rows.parquet"))
        encoder = BatchEncoder(tmp_path / "model.safetensors", keep=["key"])
        found = encoder.map(rows, concurrency=2, batch_size=7).to_pandas().sort_values("key")
    finally:
        ray.shutdown()
    assert found.columns.tolist() == ["key", "autoencoder0", "autoencoder1"]
    assert found.key.tolist() == list(range(60))
    codes = found[encoder.names].to_numpy(np.float32)
    np.testing.assert_allclose(codes, named.transform(table[list("abcde")]), rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not (shutil.which("java") or "JAVA_HOME" in os.environ), reason="Spark needs Java")
def test_spark_takes_the_encoder_as_a_map_of_frames(named, table, tmp_path, monkeypatch):
    sql = pytest.importorskip("pyspark.sql")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    named.save(tmp_path / "model.safetensors")
    table.drop(columns="note").to_parquet(tmp_path / "rows.parquet")
    encoder = BatchEncoder(tmp_path / "model.safetensors", keep="key")
    schema = "key long, " + ", ".join(f"{name} float" for name in encoder.names)
    spark = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", False).getOrCreate()
    try:
        rows = spark.read.parquet(str(tmp_path / "rows.parquet")).repartition(5)
        codes = rows.mapInPandas(lambda frames: map(encoder, frames), schema)
        codes.write.parquet(str(tmp_path / "codes"))
    finally:
        spark.stop()
    found = pd.read_parquet(tmp_path / "codes").sort_values("key")
    assert found.key.tolist() == list(range(60))
    codes = found[encoder.names].to_numpy(np.float32)
    np.testing.assert_allclose(codes, named.transform(table[list("abcde")]), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_is_said(named, table, tmp_path):
    with pytest.raises(InvalidData, match=r"no column 'kex'.*did you mean 'key'"):
        BatchEncoder(named, keep="kex")(table)
    with pytest.raises(InvalidData, match="no column 'c'"):
        BatchEncoder(named)(table.drop(columns="c"))
    with pytest.raises(InvalidData, match="an array or a frame of Dask, or a dataset of Ray; got a DataFrame"):
        BatchEncoder(named).map(table)
    detector = AnomalyDetector(named, contamination=0).fit(table[list("abcde")])
    detector.save(tmp_path / "detector.safetensors")
    for model in (detector, tmp_path / "detector.safetensors"):
        with pytest.raises(InvalidParameter, match="an autoencoder or a stack, or its file; got a AnomalyDetector"):
            BatchEncoder(model)(table)
