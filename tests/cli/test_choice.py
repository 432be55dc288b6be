"""Options that say which studies are meant and where they are carried out."""

import inspect
from pathlib import Path

from rankshift.cli.choice import Chosen, choosing


def test_the_option_wins_over_the_study_and_without_it_the_study_decides(study):
    file = study(**{"workers": '1\nexecutor = "ray"'})
    (as_written,) = Chosen().read(file)
    (told,) = Chosen(executor="local", storage="s3://a/b", shards=3).read(file)
    assert (as_written.compute.executor, told.compute.executor) == ("ray", "local")
    assert (as_written.compute.storage, told.compute.storage) == (None, "s3://a/b")
    assert (as_written.compute.shards, told.compute.shards) == (1, 3)


def test_a_command_gets_one_value_and_shows_five_options():
    given = []

    @choosing
    def command(study: Path, chosen: Chosen, loud: bool = False) -> None:
        """Do it."""
        given.append((study, chosen, loud))

    names = list(inspect.signature(command).parameters)
    assert names == ["study", "only", "whole", "executor", "storage", "shards", "loud"]
    options = {"only": "a", "whole": False, "executor": "ray", "storage": None, "shards": 2}
    command(study=Path("s"), loud=True, **options)
    assert given == [(Path("s"), Chosen("a", False, "ray", None, 2), True)]


def test_an_executor_that_there_is_not_is_refused_in_a_line(rankshift, study):
    code, _, err = rankshift("run", study(), "--executor", "slurm")
    assert code == 2
    assert err.startswith("rankshift: ")
    assert "slurm" in err
    assert len(err.splitlines()) == 1
