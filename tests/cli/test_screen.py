"""A finding is told with where it is and what to do next."""

import json

from rankshift.analysis.results import summarize, write_results
from rankshift.cli.screen import conclude
from tests.synthetic_run import write_run


def test_a_finding_is_told_with_its_files_or_as_json_alone(tmp_path, capsys):
    run = write_run(tmp_path / "runs")
    write_results(run, summarize(run))
    conclude(run.directory, as_json=False)
    told = "".join(capsys.readouterr().out.split())  # the screen wraps lines, paths too
    assert f"results{run.results_path}" in told
    assert "nextopenthereport" in told
    conclude(run.directory, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["results"] == str(run.results_path)
    assert found["claim"]
