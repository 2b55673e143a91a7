"""What an INT8 graph would answer on another CPU: ONNX Runtime runs it, and torch the products that differ there.

All 8-bit kernels of ONNX Runtime 1.2x (MLAS, `onnxruntime/core/mlas/lib`) give the same integers, with one exception:
unsigned activations times signed weights (U8S8) on an x86 CPU without VNNI. Which kernel a product gets
(`platform.cpp` and `MlasGemmQuantGetDispatch` in `qgemm.h`):

| product | AVX2, AVX-512 | with VNNI (`vpdpbusds`) or AMX | Arm64 |
|---|---|---|---|
| U8S8 | `vpmaddubsw`: pairs saturate at 16 bits | 32 bits | 32 bits |
| U8U8 | widened to 16 bits, `vpmaddwd`: 32 bits | 32 bits | 32 bits |
| S8S8, S8U8 | portable C++: 32 bits | 32 bits | 32 bits |

- The attention products of two activations are U8U8 (or S8S8): never saturated.
- `QLinearConv` with signed weights is U8S8 too, both by im2col and `MlasGemm` and by `MlasConvSym`
  (`ConvSymKernelAvx2.S`); depthwise convolutions are added in 32 bits (`qdwconv.cpp`, and `vpmaddwd` in
  `ConvSymKernelAvx2.S`). `ConvInteger` takes unsigned weights only (`conv_integer.cc`).
- On x86, int8 activations of Q/DQ graphs become uint8 before anything is fused (`qdq_s8_to_u8.cc`), so that they
  saturate too.
- The session option `session.x64quantprecision=1` turns such weights into uint8 when a session is made
  (`avx2_weight_s8_to_u8.cc`): exact, and slower. Weights within -64..64 are left as they are: they cannot saturate.
"""
