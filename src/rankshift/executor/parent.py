"""A process that another has started lives no longer than that one, and keeps its streams clean."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

from rankshift.redaction import guard_process


def live_as_child() -> None:
    """Do what every process below the one that holds a run does first."""
    guard_process()  # a traceback of what nobody caught goes to the terminal
    # Ctrl-C reaches every process of a terminal; this one is ended by its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
