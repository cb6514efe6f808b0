"""arm64: onnxruntime on 64-bit Arm. It registers the kernels that x86 has, with other code inside.

What differs, and where it is taken care of:
- Engines up to 1.28 end the process when 4-bit weights of a product in a loop lie outside of the
  loop's body (microsoft/onnxruntime#31137): `passes/own_blocks.py` puts them inside.
- Kernels of 4-bit blocks round a row with its company, and without dot-product instructions
  (cortex-a53) keep activations in float: `int4-block` promises no exactness; `int4` and `int8` do.
- Non-linearities treat the rest of an unaligned row by another path: `align_activations.py`.
- On a processor with all instructions (qemu's `max`) engine 1.32 gives other answers for
  DynamicQuantizeMatMul than on any other, logits 1.2 apart; on cortex-a53 it does not. So whoever
  builds `int8-tensorwise` is warned, and it is not among what is verified.
`make test-arm64` runs the rest of it on emulated processors.
"""

from treadle_export.quantization.precision import PRECISIONS
from treadle_export.targets.kernels import cpu_kernels
from treadle_export.targets.target import Target

_BLOCKS = (
    "on 64-bit Arm the kernel of 4-bit blocks differs from one processor to the next, so a row may "
    "change in its last digits with the rows beside it; int4 and int8 promise that it does not"
)
_TENSORWISE = (
    "on a 64-bit Arm processor with matrix instructions the engine gave wrong answers in "
    "int8-tensorwise under emulation: run `treadle verify` on the device first, or take int8"
)

ARM64 = Target(
    name="arm64",
    summary="onnxruntime on 64-bit Arm",
    kernels=cpu_kernels,
    precisions=tuple(PRECISIONS),
    notes={**dict.fromkeys(("int4-block", "int4-fast"), _BLOCKS), "int8-tensorwise": _TENSORWISE},
)
