import subprocess
import sys
from pathlib import Path

SCRIPT = """
import multiprocessing
import os
import signal
import time

from rankshift.executor.parent import live_as_child

def live(line):
    live_as_child()
    os.kill(os.getpid(), signal.SIGINT)
    line.send("alive")
    time.sleep(600)

if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=live, args=(theirs,)).start()
    print(ours.recv(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_outlives_ctrl_c_but_not_its_parent(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(SCRIPT)
    # The child holds the same pipe: it ends when the child has.
    told = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, timeout=60)
    assert (told.stdout, told.returncode) == ("alive\n", -9)
