"""``embudo train`` in several processes: one model, one report."""

import pytest
import safetensors.numpy

from embudo import load
from embudo.cli.main import main

OPTIONS = ("--components", 4, "--epochs", 2, "--seed", 0, "--sparsity", "BatchTopK(2)", "-q")


def test_two_devices_write_one_model_and_say_so_once(files, tmp_path, capfd):
    paths = [tmp_path / f"{n}.safetensors" for n in (1, 2)]
    reports = []
    for n, path in enumerate(paths, 1):
        with pytest.raises(SystemExit) as exit:
            main([*map(str, ("train", files / "digits.npy", "-o", path, *OPTIONS, "--devices", n))])
        assert not exit.value.code
        said = capfd.readouterr()
        assert said.err == ""
        reports.append(said.out.splitlines())
    assert [line.split()[0] for line in reports[0]] == [line.split()[0] for line in reports[1]]
    assert reports[1][-1] == f"Model written to {paths[1]}"
    one, two = map(safetensors.numpy.load_file, paths)
    for name, weight in one.items():
        assert two[name] == pytest.approx(weight, rel=1e-4, abs=1e-5)
    losses = [load(path).history_["loss"] for path in paths]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_machines_must_be_told_where_to_meet(embudo, files, tmp_path):
    outcome = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", "--nodes", 2)
    assert outcome.status == 2
    assert outcome.err == "Error: --nodes needs --rendezvous HOST:PORT, the address of one of the machines.\n"
