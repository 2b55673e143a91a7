"""What costs time: a crafted graph gives exactly its reasons, and made-up seconds exactly their losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hfcompress.onnx_graph.flow import Flow
from hfcompress.profiling.asked import Asked, read_asked
from hfcompress.profiling.explanation import Finding
from hfcompress.profiling.findings import find
from hfcompress.profiling.times import Profiled
from tests.profiling import crafted
from tests.profiling.conftest import Ran
from tests.profiling.crafted import node

pytestmark = pytest.mark.export
STAYED = {"activation_product", "excluded", "operator_not_asked", "unfused", "unexplained"}


def stayed(findings: tuple[Finding, ...]) -> dict[str, tuple[str, ...]]:
    """Reason -> the products that have it."""
    found: dict[str, tuple[str, ...]] = {}
    for finding in findings:
        if finding.reason in STAYED:
            found[finding.reason] = (*found.get(finding.reason, ()), *finding.nodes)
    return found


def test_each_product_that_stayed_in_floating_point_has_exactly_its_reason(ran: Ran) -> None:
    findings = find(ran.int8, ran.fp32, read_asked(ran.folders.int8))
    assert stayed(findings) == {
        "activation_product": (crafted.ACTIVATIONS,),
        "excluded": (crafted.EXCLUDED,),
        "operator_not_asked": (crafted.NOT_ASKED,),
        "unfused": (crafted.UNFUSED,),
    }
    (unfused,) = (finding for finding in findings if finding.reason == "unfused")
    assert "its output is not quantized" in unfused.why
    assert "`stem`" in unfused.change


def test_what_nothing_explains_is_said_to_be_unexplained(ran: Ran) -> None:
    found = stayed(find(ran.int8, ran.fp32, Asked()))
    assert set(found["unexplained"]) == {crafted.EXCLUDED, crafted.NOT_ASKED}
    assert found.keys() == {"activation_product", "unfused", "unexplained"}


@pytest.mark.parametrize("pattern", ["encoder.key", "encoder.k*", "/encoder/key/*", crafted.EXCLUDED])
def test_layers_are_left_out_by_their_name_in_torch_or_that_of_the_node(ran: Ran, pattern: str) -> None:
    found = stayed(find(ran.int8, ran.fp32, Asked(frozenset({"MatMul", "Gemm"}), (pattern,))))
    assert found["excluded"] == (crafted.EXCLUDED,)
    assert found["unexplained"] == (crafted.NOT_ASKED,)


def test_findings_come_in_the_order_of_what_they_cost(ran: Ran) -> None:
    findings = find(ran.int8, ran.fp32, read_asked(ran.folders.int8))
    costs = [finding.lost_ms for finding in findings]
    assert costs == sorted(costs, reverse=True)
    assert all(cost >= 0 for cost in costs)


def side(nodes: list[Any], milliseconds: list[float], constants: tuple[str, ...] = (), passes: int = 4) -> Profiled:
    """Nodes with made-up times, equal in all passes."""
    from onnx import helper, numpy_helper

    stored = [numpy_helper.from_array(np.zeros(1, dtype=np.float32), name) for name in constants]
    graph = helper.make_graph(nodes, "made up", [], [], stored)
    return Profiled(Flow(graph), np.tile(np.array(milliseconds) / 1000, (passes, 1)))


def integer(layer: str, tensor: str = "x") -> Any:
    return node("DynamicQuantizeMatMul", [tensor, f"{layer}.w"], f"/{layer}/MatMul_quant", f"/{layer}/MatMul_output_0")


def product(layer: str, tensor: str = "x") -> Any:
    return node("MatMul", [tensor, f"{layer}.w"], f"/{layer}/MatMul")


def test_an_integer_product_that_takes_longer_is_named_with_what_it_loses() -> None:
    int8 = side([integer("a"), integer("b", "/a/MatMul_output_0")], [3.0, 1.0], ("a.w", "b.w"))
    fp32 = side([product("a"), product("b", "/a/MatMul_output_0")], [2.5, 4.0], ("a.w", "b.w"))
    (finding,) = find(int8, fp32, Asked())
    assert (finding.reason, finding.layers) == ("slower", ("a",))
    assert finding.lost_ms == pytest.approx(0.5)
    assert "Leave `a` in floating point" in finding.change


def test_the_quantizers_of_an_input_are_shared_by_the_products_that_read_it() -> None:
    quantize = node("QuantizeLinear", ["/norm/Add_output_0", "s", "z"], "q", "q")
    products = [
        node("QLinearMatMul", ["q", "s", "z", f"{layer}.w", "s", "z", "s", "z"], f"/{layer}/MatMul") for layer in "ab"
    ]
    int8 = side([quantize, *products], [1.0, 0.6, 0.6], ("a.w", "b.w", "s", "z"))
    fp32 = side([product("a"), product("b")], [1.0, 2.0], ("a.w", "b.w"))
    assert {name: seconds[0] for name, seconds in int8.by_layer.items()} == pytest.approx({"a": 1.1e-3, "b": 1.1e-3})
    (finding,) = find(int8, fp32, Asked())
    assert (finding.reason, finding.layers) == ("slower", ("a",))
    assert finding.lost_ms == pytest.approx(0.1)


@pytest.mark.parametrize(("slow_passes", "reasons"), [(1, []), (2, []), (4, ["slower"])])
def test_a_layer_is_slower_when_three_passes_in_four_show_it(slow_passes: int, reasons: list[str]) -> None:
    int8, fp32 = side([integer("a")], [1.0], ("a.w",)), side([product("a")], [2.0], ("a.w",))
    int8.seconds[:slow_passes] = 0.05
    assert [finding.reason for finding in find(int8, fp32, Asked())] == reasons


def test_a_product_in_floating_point_loses_what_the_integer_ones_save() -> None:
    int8 = side([integer("a"), product("b")], [1.0, 2.0], ("a.w", "b.w"))
    fp32 = side([product("a"), product("b")], [4.0, 2.0], ("a.w", "b.w"))
    (finding,) = find(int8, fp32, Asked())
    assert finding.lost_ms == pytest.approx(2.0 * (1 - 1 / 4))


def test_where_nothing_became_integer_all_of_it_counts() -> None:
    both = [side([product("b")], [2.0], ("b.w",)) for _ in range(2)]
    assert find(*both, Asked())[0].lost_ms == pytest.approx(2.0)


def test_a_table_that_is_dequantized_after_each_look_up_is_an_embedding() -> None:
    look_up = node("Gather", ["table", "ids"], "/embeddings/Gather", "/embeddings/Gather_output_0_q")
    dequantize = node("DequantizeLinear", ["/embeddings/Gather_output_0_q", "s"], "dq", "/embeddings/Gather_output_0")
    plain = node("Gather", ["table", "ids"], "/embeddings/Gather")
    int8, fp32 = side([look_up, dequantize], [0.2, 0.9], ("table", "s")), side([plain], [0.5], ("table",))
    (finding,) = find(int8, fp32, Asked())
    assert (finding.reason, finding.layers) == ("embedding", ("embeddings",))
    assert finding.lost_ms == pytest.approx(0.6)


def test_what_lies_between_products_is_told_together_since_fusions_move_it() -> None:
    add, norm = (
        node("Add", ["x", "y"], "/output/Add"),
        node("LayerNormalization", ["/output/Add_output_0", "g"], "/norm/LN"),
    )
    fused = node("SkipLayerNormalization", ["x", "y", "g"], "SkipLayerNormalization", "/norm/LN_output_0")
    fp32 = side([add, norm], [0.5, 1.0], ("g",))
    assert find(side([fused], [1.5], ("g",)), fp32, Asked()) == ()
    (finding,) = find(side([fused], [4.0], ("g",)), fp32, Asked())
    assert (finding.reason, finding.layers) == ("overhead", ("norm",))
    assert finding.lost_ms == pytest.approx(2.5)
    assert "SkipLayerNormalization" in finding.why
