"""`build.sh`: the line of trtexec that builds an engine on the machine that will run it.

An engine runs on the kind of GPU and the version of TensorRT that built it, so it cannot travel. Options are those of
TensorRT's trtexec (samples/trtexec in github.com/NVIDIA/TensorRT). TensorRT 11 has no flags of precision left, since
every network is strongly typed there (NVIDIA, "Migrating trtexec Usage from TensorRT 10.x to 11.x"); TensorRT 10 has
`--stronglyTyped`, which computes each operator in the type that the graph says, INT8 where Q and DQ stand; before
that, Q and DQ need `--int8`. The script asks trtexec itself which of them it has.
"""

from __future__ import annotations

from typing import Literal

from hfcompress.onnx_graph.profiles import Profiles, shapes_text
from hfcompress.runtimes.settings import Precision

ENGINE = "engine.plan"
#: MiB of workspace that the builder may take. A Jetson's GPU takes it from the memory of the system.
_WORKSPACE = {"jetson": 2048, "trtexec": 4096}

_HEAD = """\
#!/bin/sh
# Builds {engine} for the GPU of this machine, with its TensorRT (8.6 to 11). An engine cannot travel: build it where
# it will run, and again after an update of TensorRT. TRTEXEC and WORKSPACE_MB are taken from the environment.
set -eu
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS || {{ echo "build.sh: a file is damaged: copy the bundle again" >&2; exit 2; }}

TRTEXEC="${{TRTEXEC:-$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)}}"
[ -x "$TRTEXEC" ] || {{ echo "build.sh: no trtexec at $TRTEXEC; say where: TRTEXEC=... ./build.sh" >&2; exit 2; }}
known="$("$TRTEXEC" --help 2>&1 || true)"
has() {{ printf '%s\\n' "$known" | grep -q -e "^ *$1\\b"; }}

"""
_TYPED = """\
# Each operator in the type that the graph says. TensorRT 11 does so without being told, TensorRT 10 with a flag.
if has --stronglyTyped; then set -- --stronglyTyped
{older}else set --
fi
"""
_OLDER = """\
elif has --int8; then set -- --int8  # before TensorRT 10: or Q and DQ are refused
"""
_MIXED = """\
# Floating point in {precision} where that is faster: TensorRT chooses. TensorRT 11 takes types from the graph alone.
has --{precision} || {{
    echo "build.sh: this TensorRT has no --{precision}: bundle a graph in {precision}, without --precision" >&2
    exit 2
}}
set -- --{precision}{int8}
"""
_BUILD = """\

"$TRTEXEC" \\
    --onnx={model} \\
    --saveEngine=.{engine}.tmp \\
    --minShapes={minimum} \\
    --optShapes={optimum} \\
    --maxShapes={maximum} \\
    --timingCacheFile=timing.cache \\
    --memPoolSize=workspace:"${{WORKSPACE_MB:-{workspace}}}" \\
    --skipInference \\
    "$@"
rm -f {engine}.of
mv .{engine}.tmp {engine}
sha256sum SHA256SUMS > {engine}.of  # what it was built of: a bundle copied over this one leaves the engine here
"""


def build_script(
    model: str,
    profiles: Profiles,
    target: Literal["jetson", "trtexec"],
    precision: Precision | None,
    *,
    quantized: bool,
) -> str:
    """The script.

    Args:
        model: the graph's file name.
        profiles: the sizes of the engine.
        target: how much memory building may take.
        precision: what floating point may be computed in; None or fp32: what the graph says.
        quantized: whether the graph has Q and DQ.
    """
    if precision is None or precision == "fp32":
        chosen = _TYPED.format(older=_OLDER if quantized else "")
    else:
        chosen = _MIXED.format(precision=precision, int8=" --int8" if quantized else "")
    sizes = {which: shapes_text(profiles, which) for which in ("minimum", "optimum", "maximum")}
    build = _BUILD.format(model=model, engine=ENGINE, workspace=_WORKSPACE[target], **sizes)
    return _HEAD.format(engine=ENGINE) + chosen + build
