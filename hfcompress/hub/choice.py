"""Which artifacts of a run are worth publishing when nobody says it."""

from __future__ import annotations

from hfcompress.results import ArtifactResult, Results

#: The verb whose PyTorch artifact is a step on the way: its export is what serves.
_ON_THE_WAY = "qat"
#: The verb whose artifact runs on one kind of GPU alone; the graph that it is built from serves everybody.
_FOR_ONE_GPU = "engine"


def default_choice(results: Results) -> tuple[str, ...]:
    """The exports that may be published and the PyTorch models that they come from; without exports, the PyTorch
    models that nothing else is made from. In the order of the recipe; empty where no gate lets anything through.
    """
    made = [artifact for artifact in results.artifacts if artifact.path is not None and artifact.stage != _FOR_ONE_GPU]
    allowed = [artifact for artifact in made if artifact.publishable]
    exports = [artifact for artifact in allowed if artifact.format == "onnx"]
    if exports:
        wanted: set[str | None] = {artifact.name for artifact in exports}
        wanted |= {_torch_of(results, artifact) for artifact in exports}
    else:
        parents = {parent for artifact in allowed for parent in artifact.parents}
        wanted = {artifact.name for artifact in allowed if artifact.name not in parents}
    return tuple(artifact.name for artifact in allowed if artifact.name in wanted)


def _torch_of(results: Results, artifact: ArtifactResult) -> str | None:
    """The PyTorch model that an export comes from; of one that was trained for INT8, what it was before."""
    known = {other.name: other for other in results.artifacts}
    found: ArtifactResult | None = artifact
    while found is not None and (found.format == "onnx" or found.stage == _ON_THE_WAY):
        found = known.get(found.parents[0]) if found.parents else None
    return None if found is None else found.name
