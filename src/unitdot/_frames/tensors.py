"""Tensors of PyTorch, and arrays that live elsewhere than in the processor's memory."""

import sys
from typing import Any, NoReturn

import numpy as np

from unitdot._frames.common import Array, DType, UnreadableError

# NumPy has no bfloat16, and whoever has one brought it along: it is known by a dtype of our own
BFLOAT16: DType = np.dtype([("bfloat16", "u2")])


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch."""
    return any(c.__module__ == "torch" and c.__name__ == "Tensor" for c in type(value).__mro__)


def of_tensor(tensor: Any, name: str) -> Array:
    """The tensor's own memory."""
    torch = sys.modules["torch"]
    if tensor.is_nested:
        what = (
            "is a nested tensor, whose rows may have any length; expected one of two axes or more"
        )
        raise UnreadableError(TypeError, what)
    if tensor.layout != torch.strided:
        what = "is a sparse tensor; expected a dense one, or a SciPy sparse matrix"
        raise UnreadableError(TypeError, what, f"{name}.to_dense()")
    if tensor.device.type == "meta":
        raise UnreadableError(TypeError, "is on the device meta, which has no data")
    if tensor.is_quantized:
        raise UnreadableError(TypeError, "is a quantised tensor", f"{name}.dequantize()")
    if tensor.requires_grad or tensor.device.type != "cpu":
        on_gpu = tensor.device.type != "cpu"
        whats = ["records gradients"] * tensor.requires_grad
        whats += [f"is on the device {tensor.device}"] * on_gpu
        remedy = f"{name}{'.detach()' * tensor.requires_grad}{'.cpu()' * on_gpu}"
        raise UnreadableError(TypeError, f"is a tensor that {' and '.join(whats)}", remedy)
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.int16).numpy().view(BFLOAT16))
    try:
        return np.asarray(tensor.resolve_neg().numpy())
    except (TypeError, RuntimeError) as error:
        remedy = f"{name}.float()"
        raise UnreadableError(TypeError, f"is a tensor of {tensor.dtype}", remedy) from error


def of_cupy(array: Any, name: str) -> NoReturn:
    """CuPy's arrays lie in a GPU's memory."""
    what = "is a CuPy array, which is on a GPU; expected one in the processor's memory"
    raise UnreadableError(TypeError, what, f"{name}.get()")
