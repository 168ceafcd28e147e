"""Public weights for the parts that MonoDINO-DETR does not train: Depth Anything V2 for both, DINOv2 for the ViT alone.

mmengine's ``Pretrained`` knows our names alone, and where a key does not fit it warns and goes on with random weights.
"""

from __future__ import annotations

from typing import ClassVar

from mmengine.logging import MMLogger
from mmengine.model import BaseModule, PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mm_monodino_detr.models.dinov2_vit import DINOv2ViT
from mm_monodino_detr.models.dpt_head import DPTDepthHead
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers

_SIZE = "the file is of another arch or img_size than the config"


class _PublicFile(PretrainedInit):
    """Fill a module from the part of a public file that is its own, completely or not at all.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    prefixes: ClassVar[dict[type[BaseModule], str]]
    expected: ClassVar[str]

    def __init__(self, checkpoint: str) -> None:
        super().__init__(checkpoint)

    def __call__(self, module: BaseModule) -> None:
        """Fill the module, and log how much of the file it took.

        Raises:
            TypeError: the file has nothing for a module of this class.
            CheckpointMismatchError: the file holds another kind of network or one of another size; a key is missing
                or unknown.
        """
        if not isinstance(module, tuple(self.prefixes)):
            takers = ", ".join(kind.__name__ for kind in self.prefixes)
            raise TypeError(
                f"{type(self).__name__} has nothing for {type(module).__name__}. Fix: put this init_cfg into {takers}"
            )
        file = strip_wrappers(CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu"), self.checkpoint)
        state = self.part(file, module)
        module.load_state_dict(state)
        MMLogger.get_current_instance().info(
            f"{self.checkpoint}: {len(state)} tensors loaded into {type(module).__name__}, "
            f"{len(file) - len(state)} of the file are of another part"
        )
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())

    def part(self, file: dict[str, Tensor], module: BaseModule) -> dict[str, Tensor]:
        """Return a module's weights out of a file's.

        Raises:
            CheckpointMismatchError: see :meth:`__call__`.
        """
        prefix = next(prefix for kind, prefix in self.prefixes.items() if isinstance(module, kind))
        state = {key.removeprefix(prefix): tensor for key, tensor in file.items() if key.startswith(prefix)}
        if not state.keys() & module.state_dict().keys():
            keys = ", ".join(list(file)[:3])
            line = f"its keys are {keys}, ... Fix: {self.expected}"
            raise CheckpointMismatchError(self.checkpoint, {"it is another network": [line]})
        problems = differences(state, module)
        known = tuple(self.prefixes.values())
        problems["not in the model"] += [key for key in file if not key.startswith(known)]
        if any(problems.values()):
            raise CheckpointMismatchError(
                self.checkpoint, {f"{kind} ({_SIZE}?)": lines for kind, lines in problems.items()}
            )
        return state


@WEIGHT_INITIALIZERS.register_module()
class PretrainedDepthAnything(_PublicFile):
    """Fill a ``DINOv2ViT`` or a ``DPTDepthHead`` from a file of Depth Anything V2; each takes its own part.

    ``init_cfg=dict(type='PretrainedDepthAnything', checkpoint='depth_anything_v2_vitb.pth')`` in both.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    prefixes: ClassVar = {DINOv2ViT: "pretrained.", DPTDepthHead: "depth_head."}
    expected: ClassVar = "take depth_anything_v2_vits.pth, vitb or vitl, or PretrainedDINOv2 for a file of DINOv2"


@WEIGHT_INITIALIZERS.register_module()
class PretrainedDINOv2(_PublicFile):
    """Fill a ``DINOv2ViT`` from a file of DINOv2 without register tokens.

    ``init_cfg=dict(type='PretrainedDINOv2', checkpoint='dinov2_vitb14_pretrain.pth')``. The published detector starts
    from Depth Anything V2 instead, whose ViT was trained further.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    prefixes: ClassVar = {DINOv2ViT: ""}
    expected: ClassVar = (
        "take dinov2_vits14_pretrain.pth, vitb14 or vitl14, or PretrainedDepthAnything for Depth Anything V2"
    )
