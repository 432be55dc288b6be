"""What is pinned is what was published."""

import re
from pathlib import Path

import pytest

from rankshift.data.conversations import fingerprint_file
from rankshift.data.pins import DATASETS, QUESTIONS

PINS = DATASETS | QUESTIONS


@pytest.mark.real
@pytest.mark.parametrize("name", PINS)
def test_the_published_file_has_the_pinned_digest(real_data: Path, name: str):
    assert fingerprint_file(real_data / PINS[name].local) == PINS[name].sha256


def test_a_pin_is_a_place_below_a_folder_and_a_sha_256():
    for pin in PINS.values():
        assert not Path(pin.local).is_absolute()
        assert ".." not in Path(pin.local).parts
        assert len(pin.sha256) == 64


def test_a_pin_of_another_repository_names_one_commit_of_it_over_https():
    homes = {name: pin.home for name, pin in PINS.items() if pin.home}
    assert set(homes) == {"betley:in-distribution", "truthfulqa", "strongreject"}
    for home in homes.values():
        assert re.fullmatch(r"https://[\w.]+/[\w-]+/[\w-]+/[0-9a-f]{40}", home)
