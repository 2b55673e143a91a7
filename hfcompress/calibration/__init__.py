"""Ranges of activations from a stream of values: what static INT8 and quantization-aware training start from."""
