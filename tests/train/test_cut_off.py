"""Training that is cut off, and training by several processes: really killed, really side by side."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asd_edge.errors import DataError
from asd_train.data.dcase import read_datasets
from asd_train.progress import Progress
from asd_train.recipe.training import Phase
from asd_train.run import Run, load_run
from asd_train.training.checkpoint import Checkpoint
from asd_train.training.fit import fit_all
from asd_train.training.work import Work
from tests.train.every_recipe import small

FIT = [sys.executable, "-m", "tests.train.fit_small"]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def whole(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose training nothing cut off."""
    out = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([*FIT, str(small_data), str(out), "1"], check=True, capture_output=True)
    with (out.with_name("run.logs") / "metrics.csv").open() as file:
        logged = [float(row["loss"]) for row in csv.DictReader(file)]
    run = load_run(out)
    assert logged == pytest.approx(run.history)
    return run


def test_a_training_that_was_killed_goes_on_to_the_same_weights(whole: Run, small_data: Path, tmp_path: Path) -> None:
    out, state, kills = tmp_path / "run", tmp_path / "run.unfinished" / "all.pt", 0
    while not out.exists():
        before = written(state)
        process = subprocess.Popen([*FIT, str(small_data), str(out), "1"], stderr=subprocess.PIPE)
        while process.poll() is None and (kills == 3 or written(state) == before):
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert kills == 3
    assert same_weights(whole, load_run(out))
    assert not state.parent.exists()


def test_two_processes_train_one_network(whole: Run, small_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*TOGETHER, *FIT[1:], str(small_data), str(out), "2"], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    run = load_run(out)
    assert len(run.history) == len(whole.history)
    assert run.history[3] < run.history[0]  # the first member's epochs
    # Half of each batch each: statistics of batch norm differ from one process's, and with them the weights.
    assert not same_weights(whole, run)


def written(state: Path) -> int:
    return state.stat().st_mtime_ns if state.exists() else 0


def same_weights(one: Run, other: Run) -> bool:
    weights, others = one.network.state_dict(), other.network.state_dict()
    return one.history == other.history and all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_cut_costs_no_machine_that_was_finished(small_data: Path, tmp_path: Path) -> None:
    clips, recipe = read_datasets([str(small_data)]), small("dcase_ae", epochs=2)

    def trained(report: Callable[[int, float], None], unfinished: Path | None) -> tuple[Run, ...]:
        work = Work(unfinished=unfinished, keep_every_s=0.0)
        progress = Progress(enabled=False)
        return fit_all(recipe, clips, datasets=[], seed=0, progress=progress, report=report, work=work)

    heard: list[int] = []

    def cut(epoch: int, loss: float) -> None:
        heard.append(epoch)
        if heard == [1, 2, 1]:  # the second machine has begun
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(cut, tmp_path)
    again: list[int] = []
    after = trained(lambda epoch, loss: again.append(epoch), tmp_path)
    assert again == [1, 2]
    whole = trained(lambda epoch, loss: None, None)
    assert [run.machine for run in after] == [run.machine for run in whole] == ["fan", "valve"]
    assert all(same_weights(one, other) for one, other in zip(whole, after, strict=True))


def test_a_training_that_diverges_says_so_and_ends(small_data: Path) -> None:
    recipe = small("dcase_ae", epochs=3)
    training = recipe.training.model_copy(update={"schedule": (Phase(epochs=3, learning_rate=1e30),)})
    clips = read_datasets([str(small_data)])
    with pytest.raises(DataError, match=r"(?s)diverged.*Lower the learning rate"):
        fit_all(
            recipe.model_copy(update={"training": training}),
            clips,
            datasets=[],
            seed=0,
            machines=["fan"],
            progress=Progress(enabled=False),
        )


def test_the_state_of_another_training_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "all.pt"
    Checkpoint(path, of="one", every_s=0.0).save({"epoch": 1})
    with pytest.raises(DataError, match=r"(?s)another recipe.*remove that file"):
        Checkpoint(path, of="other", every_s=0.0).load()
    assert Checkpoint(path, of="one", every_s=0.0).load() == {"epoch": 1}


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.pt"
    Checkpoint(path, of="one", every_s=0.0).save({"epoch": 1})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot go on"):
        Checkpoint(path, of="one", every_s=0.0).load()


def test_a_state_is_due_no_more_often_than_asked(tmp_path: Path) -> None:
    assert not Checkpoint(tmp_path / "all.pt", of="one", every_s=3600.0).due
    assert Checkpoint(tmp_path / "all.pt", of="one", every_s=0.0).due
