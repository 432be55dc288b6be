"""Lets `python -m rankshift.cli` be the command."""

from rankshift.cli.main import main

main()
