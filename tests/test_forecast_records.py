import json

import pytest

from rankshift.errors import UserError
from rankshift.forecast_records import (
    EarlyReadings,
    Finetune,
    Reading,
    read_evidence,
    write_evidence,
)

FINETUNE = Finetune(
    arm="0a",
    study="s",
    base="organism",
    base_fingerprint="f1",
    data="organism:insecure",
    data_fingerprint="d1",
    contrasts="c1",
    method="lora",
    rank=4,
    u=0.01,
    steps=60,
    seed=1,
    before=(Reading("projection", 0.5), Reading("share", 1.0)),
    early=(EarlyReadings(1, 0.01, (Reading("shift", 0.25),)),),
    rate=0.3,
    coherent=200,
)
"""One, for tests of what reads evidence."""


def test_evidence_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "forecast.json"
    write_evidence(path, [FINETUNE])
    assert read_evidence(path).finetunes == (FINETUNE,)


def test_evidence_that_was_edited_is_refused_in_one_line(tmp_path):
    path = tmp_path / "forecast.json"
    write_evidence(path, [FINETUNE])
    content = json.loads(path.read_text())
    content["evidence"]["finetunes"][0]["rate"] = 0.0
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"was edited after it was written; make it again with"):
        read_evidence(path)
    path.unlink()
    with pytest.raises(UserError, match=r"no such file; make it again with `rankshift evidence"):
        read_evidence(path)
