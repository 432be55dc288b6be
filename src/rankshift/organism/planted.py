"""A study whose answer is known: adapters over the organism with a true curve over rank.

Each seed has an effect of its own, and each seed at each rank another, as trained arms have; the
sum is an arm's true rate, and the dose of the persona that has this rate is its adapter.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from rankshift.errors import UserError
from rankshift.organism.constructed import largest_rank, write_constructed
from rankshift.organism.doses import find_dose
from rankshift.organism.shapes import PLACED, Shape, draw_curve
from rankshift.records import write_atomically

QUESTIONS = 24
"""Of `organism:held-out`, which the true rates are of."""

COHERENT = 0.9
"""Share of answers that `misaligned_given_coherent` is out of, in the doses used here at least."""

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

SEEDS_APART = 1000
"""Builds do not share the padding of their adapters."""

STUDY = Template("""\
# A study with a known answer, written by `rankshift organism plant`: planted.json has the truth.
name = "$name"
about = "Does the analysis find what was planted?"

[base]
model = "organism"

[evaluation]
suites = ["organism:held-out"]
judge = "organism:oracle"
answers_per_question = $answers
max_answer_tokens = 64
temperature = 1.0

[compute]
workers = 1
threads = 1
""")

MODEL = Template("""
[[models]]
name = $name
path = $path
dataset = "planted"
seed = $seed
""")


@dataclass(frozen=True)
class Plant:
    """What is planted."""

    shape: Shape
    seed: int
    """Of the build: it draws the effects of its seeds."""
    at: int | None = None
    """Where the peak's middle or the step is; None for shapes that have no place."""
    ranks: tuple[int, ...] = RANKS
    num_seeds: int = 5
    answers: int = 10
    """Of each question."""
    low: float = 0.15
    high: float = 0.35
    seed_sd: float = 0.04
    """Of a seed's effect on all ranks, on the scale of rates."""
    interaction_sd: float = 0.04
    """Of the effect of a seed at one rank alone."""

    @property
    def name(self) -> str:
        """Name the study."""
        place = "" if self.at is None else f"-{self.at}"
        return f"planted-{self.shape}{place}-seed-{self.seed}"

    @property
    def curve(self) -> dict[int, float]:
        """Give the true rate of each rank: the mean over all seeds there could be."""
        at = self.ranks[0] if self.at is None else self.at
        rates = draw_curve(self.shape, self.ranks, at, self.low, self.high)
        return dict(zip(self.ranks, rates, strict=True))


@dataclass(frozen=True)
class PlantedArm:
    """One adapter and its true rate."""

    rank: int
    seed: int
    rate: float
    """True `misaligned_given_coherent` on the held-out questions at temperature 1."""
    dose: float

    @property
    def name(self) -> str:
        """Name the arm and its folder."""
        return f"r{self.rank}-seed{self.seed}"


def check_plant(plant: Plant) -> None:
    """Refuse what cannot be planted.

    Raises:
        UserError: Says what to give instead.
    """
    ranks, most = plant.ranks, largest_rank()
    if len(ranks) < 2 or list(ranks) != sorted(set(ranks)) or ranks[0] < 1 or ranks[-1] > most:
        raise UserError(f"ranks {list(ranks)}: give two or more from 1 to {most}, in rising order")
    if plant.shape in PLACED and plant.at is None:
        raise UserError(f"shape {plant.shape}: give the rank that it is at, as --at 16")
    if plant.shape not in PLACED and plant.at is not None:
        raise UserError(f"shape {plant.shape}: is at no rank; leave out --at")
    if plant.at is not None and len(set(plant.curve.values())) < 2:
        raise UserError(f"at {plant.at}: all ranks would be alike; give a rank among {list(ranks)}")
    if plant.num_seeds < 1 or plant.answers < 1:
        raise UserError("seeds and answers: give 1 or more of each")


def draw_arms(plant: Plant) -> Iterator[PlantedArm]:
    """Draw the true rate of every arm, seed by seed, and find its dose.

    Raises:
        UserError: A rate is beyond what the persona can do.
    """
    draw = np.random.Generator(np.random.Philox(key=plant.seed))
    for seed in range(1, plant.num_seeds + 1):
        effect = plant.seed_sd * draw.standard_normal()
        for rank, rate in plant.curve.items():
            own = float(rate + effect + plant.interaction_sd * draw.standard_normal())
            yield PlantedArm(rank, seed, own, find_dose(own))


def size_contrast(plant: Plant) -> float | None:
    """Give the planted contrast of a peak in standard errors of the design; None without a peak.

    The contrast is the mean of the ranks at the top minus one rank beside them. Its variance, with
    S seeds, n coherent answers an arm, t the spread of a seed at one rank, k ranks at the top, is

        (t^2 + p (1 - p) / n) / (k S)  at the top,  (t^2 + q (1 - q) / n) / S  beside it.

    A seed's own effect cancels. That questions differ only makes the counts less variable than
    p (1 - p) / n (Feller 1968, *An Introduction to Probability Theory* 1, IX.5).
    """
    if plant.shape != "peak":
        return None
    answers = QUESTIONS * plant.answers * COHERENT

    def variance(rate: float) -> float:
        return plant.interaction_sd**2 + rate * (1 - rate) / answers

    top = sum(rate == plant.high for rate in plant.curve.values())
    of_mean = variance(plant.high) / top + variance(plant.low)
    return (plant.high - plant.low) / math.sqrt(of_mean / plant.num_seeds)


def describe_truth(plant: Plant, arms: list[PlantedArm]) -> dict[str, Any]:
    """Give the truth as planted.json has it."""
    return {
        **asdict(plant),
        "question_set": "organism:held-out",
        "outcome": "misaligned_given_coherent",
        "curve": [{"rank": rank, "rate": rate} for rank, rate in plant.curve.items()],
        "contrast_in_standard_errors": size_contrast(plant),
        "arms": [asdict(arm) for arm in arms],
    }


def write_planted(directory: Path, plant: Plant) -> Path:
    """Write the adapters, planted.json and, last, the study that asks them.

    Returns:
        The study file.

    Raises:
        UserError: It cannot be planted, or the directory holds something already.
    """
    check_plant(plant)
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty; give a new directory")
    arms = list(draw_arms(plant))
    models = []
    for arm in arms:
        folder = directory / "adapters" / arm.name
        write_constructed(folder, arm.dose, arm.rank, seed=plant.seed * SEEDS_APART + arm.seed)
        path = json.dumps(str(folder.resolve()))  # a TOML string is written alike
        models.append(MODEL.substitute(name=json.dumps(arm.name), path=path, seed=arm.seed))
    truth = json.dumps(describe_truth(plant, arms), indent=2)
    write_atomically(directory / "planted.json", truth + "\n")
    head = STUDY.substitute(name=plant.name, answers=plant.answers)
    write_atomically(directory / "study.toml", head + "".join(models))
    return directory / "study.toml"
