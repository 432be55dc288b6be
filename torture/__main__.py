"""Torture a small study and say what it lost: nothing, or it fails.

make torture, or: .venv/bin/python -m torture [--kills 50] [--seed 1]
make torture-long: also full disks, two writers and arms that diverge
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from torture.disk_full import torture_with_full_disks
from torture.isolation import torture_with_divergence
from torture.kills import torture_with_kills
from torture.small_study import open_bench
from torture.two_writers import torture_with_two_writers

POINTS, TRIES = 10, 1000


def main(arguments: list[str]) -> int:
    """Do what is asked; gives the exit code, 1 where anything was lost."""
    parser = argparse.ArgumentParser(prog="torture", description="Kill a study again and again.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--points", type=int, default=0, help="Points at which a disk runs full.")
    parser.add_argument("--tries", type=int, default=0, help="Tries of a second writer.")
    parser.add_argument("--diverge", action="store_true", help="Let arms diverge.")
    parser.add_argument("--long", action="store_true", help="All of it.")
    asked = parser.parse_args(arguments)
    points, tries = asked.points or POINTS * asked.long, asked.tries or TRIES * asked.long
    print(f"seed {asked.seed}", flush=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="rankshift-torture-") as name:
        if tries:
            found.append(torture_with_two_writers(_make_folder(name, "writers"), tries))
        if asked.diverge or asked.long:
            with open_bench(_make_folder(name, "isolation")) as bench:
                found.append(torture_with_divergence(bench))
        if points:
            with open_bench(_make_folder(name, "disks")) as bench:
                found.append(torture_with_full_disks(bench, points))
        if asked.kills:
            with open_bench(_make_folder(name, "kills")) as bench:
                found.append(torture_with_kills(bench, asked.kills, asked.seed))
    print(*found, sep="\n")
    return 0 if all(one.is_clean for one in found) else 1


def _make_folder(parent: str, name: str) -> Path:
    folder = Path(parent) / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
