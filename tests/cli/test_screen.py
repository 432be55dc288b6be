"""A finding is told with where it is and what to do next."""

import json

from rankshift.analysis.results import summarize, write_results
from rankshift.cli.screen import conclude
from tests.synthetic_run import write_run


def test_a_finding_is_told_with_its_files_or_as_json_alone(tmp_path, capsys):
    run = write_run(tmp_path / "runs")
    write_results(run, summarize(run))
    conclude(run.directory, as_json=False)
    *_, results, report, last = capsys.readouterr().out.splitlines()
    assert results == f"results  {run.results_path}"  # however long: it can be copied
    assert report == f"report   {run.report_path}"
    assert last.startswith("next     open the report")
    conclude(run.directory, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["results"] == str(run.results_path)
    assert found["claim"]
