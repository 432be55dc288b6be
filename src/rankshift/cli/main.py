"""All verbs, and how a command ends: exit code 0, 1 for what failed, 2 for what the user wrote."""

import os
import sys

# Libraries read these when they are imported, and workers have them from here: no telemetry, and
# no warning of tokenizers that processes are begun.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import typer

from rankshift.atomic import tell_fault
from rankshift.cli import (
    abilities,
    answers,
    compare,
    doctor,
    exports,
    forecasts,
    inside,
    parts,
    studies,
)
from rankshift.errors import UserError, WorkError
from rankshift.redaction import guard_terminal

app = typer.Typer(
    help="Does a narrow finetune change who the model is, and how does that depend on LoRA rank?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (studies.demo, studies.run, studies.plan, studies.status, studies.report):
    app.command()(verb)
app.command()(compare.compare)
app.command()(doctor.doctor)
app.command()(answers.judge)
app.command()(abilities.capability)
app.command()(inside.mechanism)
for verb in (forecasts.forecast, forecasts.evidence, forecasts.leaderboard):
    app.command()(verb)
app.command("import")(answers.import_files)
app.add_typer(answers.labels_app, name="labels")
app.add_typer(exports.export_app, name="export")
app.add_typer(parts.data_app, name="data")
app.add_typer(parts.organism_app, name="organism")


def main() -> None:
    """Run the command line; errors are one line, 2 for what the user wrote, 1 for what failed."""
    with guard_terminal():
        code = _run()
    sys.exit(code)


def _run() -> int:
    try:
        code = app(standalone_mode=False) or 0
    except UserError as error:
        code = _fail(error, 2)
    except WorkError as error:
        code = _fail(error, 1)
    except OSError as error:
        code = _fail(tell_fault(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted; run the same command again to go on where it stopped", 130)
    except typer.TyperException as error:
        code = _fail(error.format_message(), 2)
    return code


def _fail(message: object, code: int) -> int:
    print(f"rankshift: {message}", file=sys.stderr)
    return code
