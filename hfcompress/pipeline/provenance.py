"""What a run started from: models with their licenses, and rows."""

from __future__ import annotations

import re
from pathlib import Path

from hfcompress.hub.base_card import read_base_card
from hfcompress.hub.local_paths import published_name
from hfcompress.pipeline.plan import Plan, model_name
from hfcompress.recipe.graph import inputs_of
from hfcompress.recipe.recipe import SOURCE
from hfcompress.recipe.schema import ModelRef
from hfcompress.results import DataSource, SourceModel, SplitData

_COMMIT = re.compile(r"[0-9a-f]{40}")


def source_models(plan: Plan) -> tuple[SourceModel, ...]:
    """The models that no stage makes, as others may know them; a Hub id with the commit that was loaded."""
    taken = [model for stage in plan.recipe.stages for model in inputs_of(plan.recipe, stage).models]
    named = {SOURCE: plan.recipe.model, **{model_name(ref): ref for ref in taken if isinstance(ref, ModelRef)}}
    folders = {SOURCE: plan.source.path, **{name: artifact.path for name, artifact in plan.outside.items()}}
    return tuple(_source_model(name, ref, folders[name], plan.digests[name]) for name, ref in named.items())


def _source_model(name: str, ref: ModelRef, folder: Path, digest: str) -> SourceModel:
    local = Path(ref.id).expanduser().is_dir()
    # The Hub's cache names the folder of a snapshot after its commit.
    commit = folder.name if not local and _COMMIT.fullmatch(folder.name) else None
    return SourceModel(
        name=published_name(name),
        id=published_name(ref.id),
        local=local,
        revision=commit or ref.revision,
        digest=digest,
        **read_base_card(folder)._asdict(),
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
