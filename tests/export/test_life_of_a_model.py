"""The whole life of a model through the real commands: simulate, fit, evaluate, bundle, score, enroll, fine-tune."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.offline import embed_clip
from asd_edge.sources.file import read_clip
from asd_train.embedder import torch_pipeline
from asd_train.recipe import load_recipe
from asd_train.run import load_run
from tests.export.buildable import assert_all_build
from tests.train.tiny_recipe import tiny_recipe

TINY = """
[fast.network]
width = 0.25

[fast.training]
batch = 8
schedule = [{ epochs = 2, learning_rate = 0.1 }]

[fast.finetune]
iterations = 2
batch = 4
"""


def command(*arguments: str | Path, code: int = 0, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    name, *rest = map(str, arguments)
    module = name.replace("-", "_") + ".cli"
    done = subprocess.run(
        [sys.executable, "-c", f"from {module} import main; main()", *rest],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated data, a run and a bundle; between the two the data set is known by another path."""
    root = tmp_path_factory.mktemp("life")
    published = (resources.files("asd_train") / "recipes" / "tf_resnet.toml").read_text("utf-8")
    tiny = root / "tiny.toml"
    tiny.write_text(published.partition("[fast.")[0] + TINY, "utf-8")
    assert load_recipe(str(tiny), fast=True) == tiny_recipe(epochs=2)
    machines = ("--machine", "fan", "--machine", "pump", "--train-source", "36", "--train-target", "3", "--test", "3")
    command("asd-train", "simulate", root / "data", *machines)
    data = root / "data"
    command("asd-train", "fit", "--recipe", tiny, "--fast", "--data", ".", "--out", root / "run", folder=data)
    command("asd-export", "bundle", "--run", root / "run", "--out", root / "model.asd", "--data", data, folder=data)
    return root


def test_evaluation_prints_a_table_and_json(folder: Path) -> None:
    arguments = ("asd-train", "evaluate", "--run", folder / "run", "--data", folder / "data")
    document = json.loads(command(*arguments, "--json").stdout)
    fan, pump = document["machines"]
    assert (fan["machine"], pump["machine"]) == ("fan", "pump")
    text = command(*arguments).stdout
    row, at_threshold = [line for line in text.splitlines() if line.startswith("fan/00")]
    for domain in ("source", "target"):
        figures = fan[domain]
        assert f"{figures['false_alarm_rate']:6.1%} {figures['detection_rate']:6.1%}" in row
        assert (
            f"{figures['f1']:.3f}  {figures['precision']:.3f} {figures['false_alarms_per_hour']:6.1f}" in at_threshold
        )
    assert f"2021: Ω {document['scores']['omega_2021']:.3f}" in text


def test_evaluation_compares_backends(folder: Path) -> None:
    arguments = ("asd-train", "evaluate", "--run", folder / "run", "--data", folder / "data")
    lines = command(*arguments, "--backend", "mahalanobis", "--backend", "knn").stdout.splitlines()
    named = [tuple(line.split()[:2]) for line in lines[1:]]
    assert named == [(b, m) for b in ("knn", "mahalanobis") for m in ("fan/00", "pump/00", "official")]
    assert "nearest_centre" in command(*arguments, "--backend", "vae", code=2).stderr


def test_the_bundle_knows_every_machine_in_both_domains(folder: Path) -> None:
    bundle = load_bundle(folder / "model.asd")
    assert [machine.key for machine in bundle.machines] == ["fan/00", "pump/00"]
    for machine in bundle.machines:
        source, target = machine.conditions
        assert (source.name, target.name) == ("source", "target")
        assert len(source.labels) == 9
        assert source.calibration.count == 9  # one held-out clip of each class, one window a clip
        assert target.threshold > 0
    assert bundle.manifest.provenance.data == ("data",)


def test_the_device_embeds_a_clip_as_the_trained_network_does(folder: Path) -> None:
    clip = next((folder / "data" / "pump" / "test").glob("*.wav"))
    samples = read_clip(clip, rate=16_000)
    trained = embed_clip(torch_pipeline(load_run(folder / "run")), samples, name=clip.name)
    device = embed_clip(load_bundle(folder / "model.asd").pipeline(), samples, name=clip.name)
    cosines = np.sum(trained.segments.embeddings * device.segments.embeddings, axis=1)
    assert np.max(1 - cosines) <= 1e-5


def test_tensorrt_builds_both_kinds_of_graph(folder: Path) -> None:
    assert_all_build(load_bundle(folder / "model.asd"))


def test_score_and_enroll_use_the_bundle(folder: Path) -> None:
    clips = sorted((folder / "data" / "fan" / "test").glob("*_normal_*"))
    scored = command("asd-edge", "score", "--bundle", folder / "model.asd", "--factory", "fan/00", "--json", clips[0])
    (window,) = [json.loads(line) for line in scored.stdout.splitlines()]
    assert window["state"] == "scored"
    config = folder / "device.toml"
    config.write_text(
        f'[device]\nid = "box"\nstate_dir = "{folder}/state"\n'
        f'[bundle]\npath = "{folder}/model.asd"\nallow_unsigned = true\n'
        '[mqtt]\nhost = "127.0.0.1"\n[[machines]]\nid = "fan-7"\nsource = "sim:fan"\n'
    )
    enrolled = command(
        *("asd-edge", "enroll", "--config", config, "--machine", "fan-7"),
        *("--condition", "night", "--yes", "--json", *clips[:3]),
    )
    assert json.loads(enrolled.stdout)["revision"] == 1
    again = command("asd-edge", "score", "--config", config, "--machine", "fan-7", "--json", clips[3])
    assert json.loads(again.stdout.splitlines()[0])["condition"] == "night"


def test_a_fine_tuned_run_becomes_a_bundle_that_knows_the_new_clips(folder: Path) -> None:
    clips = folder / "clips"
    for name, numbers in (("fast", (0, 2)), ("moved", (1,))):
        (clips / name).mkdir(parents=True)
        for number in numbers:
            (clip,) = (folder / "data" / "fan" / "test").glob(f"*_target_test_normal_{number:04d}_*")
            shutil.copy(clip, clips / name)
    tuned, bundle = folder / "tuned", folder / "tuned.asd"
    arguments = ("--run", folder / "run", "--clips", clips, "--machine", "fan/00", "--data", folder / "data")
    command("asd-train", "imprint", "--finetune", *arguments, "--out", tuned)
    command("asd-export", "bundle", "--served-only", "--run", tuned, "--out", bundle)
    made = load_bundle(bundle)
    fan, pump = made.machines
    assert {"target/fast", "target/moved"} < set(fan.conditions[1].labels)
    assert not {"target/fast", "target/moved"} & set(pump.conditions[1].labels)
    assert made.manifest.provenance.data == ("data", "clips")
    (clip,) = (clips / "moved").iterdir()
    scored = command("asd-edge", "score", "--bundle", bundle, "--factory", "fan/00", "--json", clip)
    assert json.loads(scored.stdout.splitlines()[0])["condition"] == "factory/target"


def test_a_bundle_without_training_normals_is_refused(folder: Path) -> None:
    (folder / "tests only" / "fan").mkdir(parents=True)
    (folder / "tests only" / "fan" / "test").symlink_to(folder / "data" / "fan" / "test")
    arguments = ("asd-export", "bundle", "--run", folder / "run", "--data", folder / "tests only")
    errors = command(*arguments, "--out", folder / "none.asd", code=1).stderr
    assert "no training normals" in errors
    assert "Traceback" not in errors
    assert not (folder / "none.asd").exists()


def test_an_interrupted_training_leaves_nothing_behind(folder: Path) -> None:
    out = folder / "interrupted"
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from asd_train.cli import main; main()",
            "fit", "--fast", "--data", str(folder / "data"), "--out", str(out),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "epoch 1/" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    errors = process.stderr.read()
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not [path for path in folder.iterdir() if "interrupted" in path.name]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("asd-train", "fit", "--data", "nowhere", "--out", "x"), "no such folder"),
        (("asd-train", "fit", "--recipe", "nothing", "--data", ".", "--out", "x"), "There is no recipe"),
        (("asd-train", "evaluate", "--run", "nowhere", "--data", "."), "not a training run"),
        (
            ("asd-train", "evaluate", "--bundle", "default", "--data", ".", "--ground-truth", "nowhere"),
            "no ground truth in nowhere",
        ),
        (("asd-export", "bundle", "--run", "nowhere", "--out", "x.asd"), "not a training run"),
        (("asd-edge", "score", "--bundle", "nowhere.asd", "--factory", "fan/00", "x.wav"), "nowhere.asd"),
    ],
)
def test_errors_say_found_expected_and_remedy(arguments: tuple[str, ...], says: str) -> None:
    errors = command(*arguments, code=1).stderr
    assert says in errors
    for part in ("found:", "expected:", "remedy:"):
        assert part in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["asd-train", "asd-export", "asd-edge"])
def test_help_is_there(name: str) -> None:
    assert "Usage" in command(name, "--help").stdout
