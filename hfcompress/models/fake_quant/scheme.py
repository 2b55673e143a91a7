"""How tensors are rounded to integers: ranges, symmetry, granularity, and whether scales are learned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorScheme:
    """How one kind of tensor becomes integers: q = clamp(round(x / scale) + zero_point, quant_min, quant_max).

    Attributes:
        signed: int8 or uint8.
        symmetric: the zero point is the middle of the range (0 when signed); otherwise it follows the values.
        per_channel: one scale for each index of axis 0 in place of one for the tensor.
        bits: 8; 7 where two products that are added must fit 16 bits (a CPU without VNNI).
    """

    signed: bool
    symmetric: bool
    per_channel: bool
    bits: int = 8

    @property
    def quant_min(self) -> int:
        """The smallest integer that training uses."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def quant_max(self) -> int:
        """The largest integer that training uses."""
        return self.quant_min + (1 << self.bits) - 1

    @property
    def exported_range(self) -> tuple[int, int]:
        """The range that the exported operator names.

        ONNX export of PyTorch's fake quantization takes (-128, 127), (0, 255) and (0, 127), and no others: narrower
        signed values are clamped before it, and keep their scale.
        """
        return (-128, 127) if self.signed else (0, self.quant_max)


@dataclass(frozen=True)
class QuantScheme:
    """How a model is fake-quantized.

    Attributes:
        weights: of Linear, Conv2d and Embedding; tables of embeddings have one scale, whatever this says.
        activations: of the inputs of Linear and Conv2d, and the outputs of Conv2d (but see `whole_pairs`).
        learned: scales are parameters (LSQ); otherwise they follow a moving average of the ranges that are seen.
        attention_products: also the factors of the two products of activations in each attention.
        whole_pairs: for a runtime that fuses Q/DQ itself (TensorRT): of the outputs of Conv2d only those that come
            along skip connections are rounded, and the export keeps weights and biases in floating point, with Q and
            DQ behind each weight.
    """

    weights: TensorScheme
    activations: TensorScheme
    learned: bool
    attention_products: bool = False
    whole_pairs: bool = False
