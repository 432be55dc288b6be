"""A study whose records tests write by hand, as a run that has come so far."""

from rankshift.grid import Grid
from rankshift.records import HeldOutRecord, StepRecord, read_records, write_records
from rankshift.runs import Fingerprints, evaluation_id, identify_arms, make_recipe
from rankshift.study import Base, Data, Evaluation, Study, Training

STUDY = Study(
    name="demo",
    base=Base("organism"),
    data=Data(task="insecure", twin="secure"),
    grid=Grid((8,), (1,), ("alpha/rank",), (16.0,), (1e-3,), twin_seeds=(1,)),
    training=Training(steps=4, checkpoints=(2, 4)),
    evaluation=Evaluation(suites=("held-out",), judge="organism:oracle"),
)
PRINTS = Fingerprints("b", "t", "w", {"held-out": "h"})
EVALUATION = evaluation_id(STUDY.evaluation, PRINTS.questions)


def find_arm(run, role):
    arms = identify_arms(STUDY, PRINTS)
    name = next(name for name, arm in arms.items() if arm.role == role)
    return run.arm(name), make_recipe(arms[name], STUDY, PRINTS)


def add_records(path, records):
    before = read_records(path, type(records[0])) if path.exists() else []
    write_records(path, before + records)


def train(files, steps):
    add_records(files.steps_path, [StepRecord(step, 1.0, 9, 0.5, 1e-3) for step in steps])


def measure(files, step, sets, weights="adapter_model.safetensors"):
    rows = [HeldOutRecord(step, name, 1.0, 9, 3) for name in sets]
    add_records(files.held_out_path, rows)
    if weights:
        files.checkpoint(step).mkdir(parents=True)
        (files.checkpoint(step) / weights).touch()
