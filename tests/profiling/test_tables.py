"""An explanation as tables, by figures that were made up."""

from __future__ import annotations

from typing import Any

from hfcompress.profiling.explanation import Explanation, Finding, LayerTime, OperatorTime
from hfcompress.profiling.tables import finding_lines, headline, layers_table, operators_table


def explanation(**changes: Any) -> Explanation:
    layers = tuple(
        LayerTime(
            layer=f"layer.{index}", fp32_ms=2.0, int8_ms=4.0 / (index + 1), quantizing_ms=0.5 * (index == 0),
            fp32_products=("MatMul",), int8_products=("QLinearMatMul",),
        )
        for index in range(3)
    )  # fmt: skip
    operators = (
        OperatorTime(operator="QLinearMatMul", fp32_ms=0, int8_ms=7.3, fp32_nodes=0, int8_nodes=3),
        OperatorTime(operator="MatMul", fp32_ms=6.0, int8_ms=0, fp32_nodes=3, int8_nodes=0),
    )
    nodes = tuple(f"/encoder/layer.{index}/MatMul" for index in range(5))
    finding = Finding(
        reason="activation_product",
        layers=("encoder",),
        nodes=nodes,
        lost_ms=1.25,
        why="two activations",
        change="Keep.",
    )
    fields: dict[str, Any] = {
        "model": "int8", "against": "onnx", "host": {}, "threads": 2, "shapes": ((8, 64),), "passes": 20,
        "fp32_ms": 6.0, "int8_ms": 7.5, "speedup": 0.8, "speedup_low": 0.75, "speedup_high": 0.82,
        "fp32_profiled_ms": 6.1, "int8_profiled_ms": 7.4, "operators": operators, "layers": layers,
        "findings": (finding,),
    }  # fmt: skip
    return Explanation(**(fields | changes))


def test_the_headline_says_whether_int8_is_slower_and_on_what() -> None:
    assert headline(explanation()) == (
        "int8 is SLOWER than fp32: 7.50 ms against 6.00 ms, 0.80x (quartiles 0.75x to 0.82x); a batch of 8 x 64, "
        "2 threads, 20 passes"
    )
    faster = headline(explanation(speedup=2.0, shapes=((8, 40), (4, 12))))
    assert "int8 is faster than fp32" in faster
    assert "2 batches, 12 rows" in faster


def test_findings_name_a_few_places_count_the_rest_and_say_what_to_change() -> None:
    _, where, sentences = finding_lines(explanation())
    assert where == "  1.25 ms  /encoder/layer.0/MatMul, /encoder/layer.1/MatMul, /encoder/layer.2/MatMul and 2 more"
    assert sentences.strip() == "Two activations. Keep."
    assert list(finding_lines(explanation(findings=())))[1:] == ["   nothing that could be seen"]


def test_operators_end_with_the_whole() -> None:
    table = operators_table(explanation())
    assert table.column("operator") == ["QLinearMatMul", "MatMul", "all"]
    assert table.column("INT8") == ["7.30 (3)", "0.00", "7.40"]
    assert table.column("fp32") == ["0.00", "6.00 (3)", "6.10"]


def test_layers_are_the_dearest_ones_and_losses_are_marked() -> None:
    table = layers_table(explanation(), 2)
    assert table.column("layer") == ["layer.0", "layer.1"]
    assert table.column("speed-up") == ["0.50x", "1.00x"]
    assert [row[4].tone for row in table.rows] == ["bad", "plain"]
    assert table.column("of it Q/DQ") == ["0.50", "-"]
    assert table.caption.startswith("1 more layer;")
    assert layers_table(explanation(), 3).caption == ""
