"""Which numbers a device computes in: bfloat16 where it is good at it, else float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]


def best_precision(device: torch.device) -> Literal["bf16", "fp32"]:
    """bf16 where the device computes in it natively, else fp32.

    On CUDA that is compute capability 8.0 and above; on a CPU, AVX512_BF16 or AMX: without them
    bf16 is emulated and slower than fp32.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        native = (
            getattr(torch.cpu, name, lambda: False)()
            for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
        return "bf16" if any(native) else "fp32"
    return "fp32"


def autocast(device: torch.device, precision: Precision = "auto") -> AbstractContextManager[Any]:
    """The context in which the forward pass runs: bf16 autocast or nothing."""
    if precision not in ("auto", "bf16", "fp32"):
        raise ValueError(f"precision must be 'auto', 'bf16' or 'fp32', not {precision!r}")
    chosen = best_precision(device) if precision == "auto" else precision
    if chosen == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
