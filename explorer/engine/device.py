"""Which device and number format to compute in."""

from __future__ import annotations

import torch

from explorer.networks.hardware import cpu_multiplies_bf16

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one, else the CPU. ValueError where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used here (try auto or cpu): {error}".splitlines()[0]) from None
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """ "fp32", "bf16" or "fp16"; "auto" takes what the device multiplies natively. ValueError for another name."""
    if name in DTYPES:
        return name
    if name != "auto":
        raise ValueError(f"precision must be auto, {', '.join(DTYPES)}, got {name!r}")
    if device.type == "cuda":
        return "fp16"
    return "bf16" if device.type == "cpu" and cpu_multiplies_bf16() else "fp32"
