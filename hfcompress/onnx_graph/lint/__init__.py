"""What a target's parser rejects in a Q/DQ graph, and what would make it slow; found without the target."""

from hfcompress.onnx_graph.lint.findings import Finding, Severity
from hfcompress.onnx_graph.lint.linter import TARGETS, check_readable, fix_, lint, quantized_products
from hfcompress.onnx_graph.profiles import Profile, Profiles, parse_profiles

__all__ = [
    "TARGETS",
    "Finding",
    "Profile",
    "Profiles",
    "Severity",
    "check_readable",
    "fix_",
    "lint",
    "parse_profiles",
    "quantized_products",
]
