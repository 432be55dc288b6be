"""Run every calibration and show all their last lines together at the end.

    make calibration, or: .venv/bin/python -m calibration [--repetitions 1000]

Each runs in a process of its own, with the same arguments; one that fails does not keep the other
from running, and the whole then fails.
"""

import re
import subprocess
import sys

CALIBRATIONS = ("calibration.coverage", "calibration.verdicts")
LAST_LINE = re.compile(r"(coverage|false_alarm|power) \S+ \d\.\d+\n")


def run_all(arguments: list[str]) -> int:
    """Run one after another, passing on what they print; give the highest exit status."""
    status, last_lines = 0, []
    for name in CALIBRATIONS:
        print(f"== {name} ==", flush=True)
        command = [sys.executable, "-m", name, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if LAST_LINE.fullmatch(line):
                    last_lines.append(line)
                else:
                    print(line, end="", flush=True)
        status = max(status, abs(process.returncode))
    print("== all ==")
    print(*last_lines, sep="", end="")
    return status


if __name__ == "__main__":
    sys.exit(run_all(sys.argv[1:]))
