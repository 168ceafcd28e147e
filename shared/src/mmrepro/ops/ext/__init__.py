"""The operators of ``mmcv._ext`` that mmdet, mmsegmentation and the papers reach, without a compiler.

Names, argument names, their order and outputs written in place are those of mmcv's own bindings
(``mmcv/ops/csrc/pytorch/pybind.cpp``), so that mmcv's Python calls them unchanged, on the CPU and on CUDA. They are
computed by torchvision's kernels, PyTorch and, for lists of boxes, NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

# module of this package -> the operators that it has
SERVED = {
    "bbox_overlaps": ("bbox_overlaps",),
    "carafe": ("carafe_forward", "carafe_backward", "carafe_naive_forward", "carafe_naive_backward"),
    "deform_conv": (
        "deform_conv_forward",
        "deform_conv_backward_input",
        "deform_conv_backward_parameters",
        "modulated_deform_conv_forward",
        "modulated_deform_conv_backward",
    ),
    "deform_roi_pool": ("deform_roi_pool_forward", "deform_roi_pool_backward"),
    "focal_loss": (
        "sigmoid_focal_loss_forward",
        "sigmoid_focal_loss_backward",
        "softmax_focal_loss_forward",
        "softmax_focal_loss_backward",
    ),
    "info": ("get_compiler_version", "get_compiling_cuda_version"),
    "masked_conv": ("masked_im2col_forward", "masked_col2im_forward"),
    "ms_deform_attn": ("ms_deform_attn_forward", "ms_deform_attn_backward"),
    "nms": ("nms", "softnms", "nms_match"),
    "points_in_boxes": (
        "points_in_boxes_cpu_forward",
        "points_in_boxes_part_forward",
        "points_in_boxes_all_forward",
    ),
    "psamask": ("psamask_forward", "psamask_backward"),
    "roi_align": ("roi_align_forward", "roi_align_backward"),
    "roi_pool": ("roi_pool_forward", "roi_pool_backward"),
    "sync_bn": (
        "sync_bn_forward_mean",
        "sync_bn_forward_var",
        "sync_bn_forward_output",
        "sync_bn_backward_param",
        "sync_bn_backward_data",
    ),
}
MODULE_OF = {name: module for module, names in SERVED.items() for name in names}


class OperatorNotServedError(NotImplementedError):
    """An operator of mmcv was called that neither a compiled ``mmcv._ext`` nor mmrepro has."""


def operator(name: str) -> Callable:
    """Return an operator of ``mmcv._ext`` by name.

    mmcv asks for all of its operators when it is imported, so a name that is not served is no error before it is
    called: what is returned for it then raises :class:`OperatorNotServedError`.
    """
    if name in MODULE_OF:
        return getattr(import_module(f"{__name__}.{MODULE_OF[name]}"), name)

    def not_served(*args: object, **kwargs: object) -> None:
        raise OperatorNotServedError(
            f"mmcv's operator {name!r} is not among those that mmrepro serves without a compiler. Two ways out: "
            "compile mmcv's own operators, which are preferred wherever they exist (docs/operators.md of mmrepro says "
            "how), or use a model that does without this one."
        )

    not_served.__name__ = not_served.__qualname__ = name
    return not_served
