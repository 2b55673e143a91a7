"""`hfcompress doctor`: what this host is and has."""

from __future__ import annotations

import json
from typing import Any

import typer

from hfcompress.cli.options import Debug, Format, OutputFormat


def doctor(format_: Format = OutputFormat.human, debug: Debug = False) -> None:
    """Describe the host, the versions, the extras that are installed, and the INT8 scheme that suits this CPU."""
    from hfcompress.extras import EXTRAS, is_installed
    from hfcompress.host import describe_host, has_bf16
    from hfcompress.quantize.targets import scheme_for
    from hfcompress.runtimes.tensorrt import tensorrt_version

    host = describe_host()
    scheme = scheme_for("auto", host.flags)
    facts = {
        "host": host.model_dump(mode="json"),
        "bf16_training": has_bf16(),
        "extras": {name: is_installed(name) for name in EXTRAS},
        "providers": _providers(),
        "tensorrt": tensorrt_version(),
        "int8": {"target": scheme.target, "reduce_range": scheme.reduce_range, "reason": scheme.reason},
    }
    if format_ is OutputFormat.json:
        typer.echo(json.dumps(facts))
    elif format_ is OutputFormat.human:
        _show(facts)


def _providers() -> list[str]:
    """What the build of ONNX Runtime has; whether their libraries can be loaded, a session alone tells."""
    try:
        import onnxruntime
    except ImportError:
        return []
    names: list[str] = onnxruntime.get_available_providers()
    return names


def _show(facts: dict[str, Any]) -> None:
    host = facts["host"]
    present = [name for name, there in host["flags"].items() if there]
    rows = {
        "cpu": f"{host['cpu']}, {host['cores']:g} cores, {host['memory_gb']} GB",
        "instructions": ", ".join(present) or "none of those that matter for INT8 or bf16",
        "gpus": ", ".join(host["gpus"]) or "none",
        "python": f"{host['python']} on {host['os']}",
        **{name: version or "not installed" for name, version in host["versions"].items()},
        "bf16 training": "yes" if facts["bf16_training"] else "no: this CPU has no bf16 arithmetic",
        "ONNX providers": ", ".join(facts["providers"]) or "no ONNX Runtime",
        "tensorrt": facts["tensorrt"] or "not found",
        "INT8 target": f"{facts['int8']['target']}: {facts['int8']['reason']}",
    }
    for name, there in facts["extras"].items():
        rows[f"extra {name}"] = "installed" if there else f"missing; pip install 'hfcompress[{name}]'"
    for name, value in rows.items():
        typer.echo(f"{name:<18} {value}")
