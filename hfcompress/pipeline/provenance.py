"""What a run started from: the base model with its license, and the rows."""

from __future__ import annotations

import re
from pathlib import Path

from hfcompress.hub.base_card import read_base_card
from hfcompress.hub.local_paths import published_name
from hfcompress.pipeline.plan import Plan
from hfcompress.results import DataSource, SourceModel, SplitData

_COMMIT = re.compile(r"[0-9a-f]{40}")


def source_model(plan: Plan) -> SourceModel:
    """The recipe's model as others may know it; a Hub id with the commit that was loaded."""
    ref, folder = plan.recipe.model, plan.source.path
    local = Path(ref.id).expanduser().is_dir()
    # The Hub's cache names the folder of a snapshot after its commit.
    commit = folder.name if not local and _COMMIT.fullmatch(folder.name) else None
    return SourceModel(
        id=published_name(ref.id), local=local, revision=commit or ref.revision, **read_base_card(folder)._asdict()
    )


def data_source(plan: Plan) -> DataSource:
    """The recipe's data as others may know it, with the digest of every split."""
    config, rows = plan.recipe.data, plan.data.rows
    splits = {
        str(role): SplitData(name=config.splits[role], rows=len(split), digest=rows.digests[role])
        for role, split in rows.splits.items()
    }
    if rows.unlabeled is not None and config.unlabeled is not None:
        splits["unlabeled"] = SplitData(
            name=config.unlabeled.split, rows=len(rows.unlabeled), digest=rows.digests["unlabeled"]
        )
    return DataSource(
        path=published_name(config.path),
        local=Path(config.path).expanduser().exists(),
        subset=config.subset,
        revision=config.revision,
        max_length=config.max_length,
        splits=splits,
    )
