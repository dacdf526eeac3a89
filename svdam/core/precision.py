"""In which precision networks are computed: decided here, for every stage.

bfloat16 is faster than float32 only where there are instructions for it. Elsewhere TensorFlow
converts value by value, and a step takes 6 to 20 times as long as in float32.

TensorFlow is loaded only when the machine is looked at.
"""

import dataclasses
import os
import re
import warnings
from pathlib import Path
from typing import Any

from svdam.core.runs import earlier_setting
from svdam.core.settings import setting

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
BFLOAT16_CAPABILITY = 8
"""CUDA's compute capability from which GPUs have instructions for bfloat16 (Ampere)."""
_PROCESSOR_FLAGS = {"avx512_bf16", "amx_bf16"}
_LIMITS_WITH_BFLOAT16 = r"|ALL|DEFAULT|AVX512_CORE_(BF16|FP16|AMX.*)|AVX10_.*"


def precision_setting(default: str = "auto") -> Any:
    """Setting of all stages with long computations: floating-point precision."""
    return setting(
        default,
        "Floating-point precision of the networks: mixed_bfloat16 computes in bfloat16 and keeps "
        "weights in float32; auto uses mixed_bfloat16 if the GPU or CPU has instructions for it, "
        "and float32 otherwise. A run that is resumed keeps its precision.",
        choices=PRECISIONS,
    )


def resolve_precision(settings: Any, available: bool | None = None) -> Any:
    """Settings whose ``precision`` is the one to compute in, for the configuration of a run.

    Args:
        settings: `Settings` with ``precision`` and ``output``. ``auto`` becomes the precision of
            the run that ``output`` holds, also on another machine; without one, that of
            `machine_precision`.
        available: Whether there are instructions for bfloat16; see `has_bfloat16` if None.

    Returns:
        The settings. Warns if the other precision would be faster on this machine.
    """
    available = has_bfloat16() if available is None else available
    precision, fastest = settings.precision, machine_precision("auto", available)
    if precision == "auto":
        precision = earlier_setting(settings.output, "precision") or "auto"
        if precision == "auto":
            precision = fastest
        elif precision != fastest:
            warnings.warn(
                f"--output: {settings.output} was started in {precision} and is resumed in it; on "
                f"this machine {fastest} is faster, which requires a new run with another --output",
                stacklevel=2,
            )
    elif precision == "mixed_bfloat16" and not available:
        warnings.warn(
            "--precision=mixed_bfloat16: this machine has no instructions for bfloat16, so "
            "float32 is several times as fast; use --precision=auto",
            stacklevel=2,
        )
    return dataclasses.replace(settings, precision=precision)


def machine_precision(precision: str, available: bool | None = None) -> str:
    """``float32`` or ``mixed_bfloat16``: what a precision of `PRECISIONS` means on this machine.

    Args:
        precision: The setting.
        available: As in `resolve_precision`.
    """
    if precision != "auto":
        return precision
    available = has_bfloat16() if available is None else available
    return "mixed_bfloat16" if available else "float32"


def has_bfloat16() -> bool:
    """Whether the GPUs, or the processor if there are none, have instructions for bfloat16."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return _processor_has_bfloat16()
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    return all(each.get("compute_capability", (0, 0))[0] >= BFLOAT16_CAPABILITY for each in details)


def _processor_has_bfloat16() -> bool:
    """Only oneDNN uses the instructions, and the environment can forbid either."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    uses_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1").lower() not in ("0", "false")
    is_allowed = re.fullmatch(_LIMITS_WITH_BFLOAT16, limit) is not None
    return uses_onednn and is_allowed and bool(_PROCESSOR_FLAGS & _processor_flags())


def _processor_flags(path: str = "/proc/cpuinfo") -> set[str]:
    """Names of the processor's features as Linux gives them; none where it does not."""
    try:
        text = Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()
