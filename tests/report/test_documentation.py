from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from hfcompress.host import HostDescription
from hfcompress.report.gates import gates_table
from hfcompress.report.table import headline_table
from hfcompress.results import (
    Agreement,
    ArtifactResult,
    ClassResult,
    DataSource,
    Difference,
    FallbackResult,
    FallbackStep,
    Flips,
    GateResult,
    Latency,
    Measurement,
    RankedLayer,
    Results,
    SourceModel,
    SplitData,
    StageSeconds,
)

TEXT = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "record",
    [
        Results,
        ArtifactResult,
        Difference,
        Latency,
        Measurement,
        Agreement,
        FallbackResult,
        FallbackStep,
        RankedLayer,
        GateResult,
        StageSeconds,
        Flips,
        ClassResult,
        SourceModel,
        DataSource,
        SplitData,
        HostDescription,
    ],
)
def test_every_key_is_documented(record: type[BaseModel]) -> None:
    for name, field in record.model_fields.items():
        assert re.search(rf"[`{{, ]{field.alias or name}[`}}, ]", TEXT), name


def test_the_example_is_a_results_file() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, flags=re.DOTALL)
    results = Results.model_validate_json(example)
    assert headline_table(results).column("accuracy") == ["87.4 [85.8, 89.0]"]
    assert gates_table(results).column("verdict") == ["passed"]
