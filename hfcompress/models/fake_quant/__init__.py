"""Fake quantization: a model that rounds in floating point what an INT8 model rounds, and so learns to bear it."""

from hfcompress.models.fake_quant.batch_norm import fold_batch_norm_
from hfcompress.models.fake_quant.calibrate import calibrate_
from hfcompress.models.fake_quant.exporting import exporting
from hfcompress.models.fake_quant.insert import (
    fake_quant_parameters,
    freeze_observers_,
    insert_fake_quant_,
    is_fake_quantized,
)
from hfcompress.models.fake_quant.scheme import QuantScheme, TensorScheme

__all__ = [
    "QuantScheme",
    "TensorScheme",
    "calibrate_",
    "exporting",
    "fake_quant_parameters",
    "fold_batch_norm_",
    "freeze_observers_",
    "insert_fake_quant_",
    "is_fake_quantized",
]
