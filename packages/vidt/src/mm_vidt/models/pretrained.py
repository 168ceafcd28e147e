"""ImageNet weights for the bodies, from the public files that the official code starts from.

mmengine's ``Pretrained`` knows our names alone, and where a key does not fit it warns and goes on with random weights.
"""

from __future__ import annotations

from collections.abc import Callable

from mmengine.logging import MMLogger
from mmengine.model import BaseModule, PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mm_vidt.models.body_keys import coat_rules, swin_rules
from mmrepro.checkpoint import CheckpointMismatchError, Drop, KeyRules, convert, differences, strip_wrappers

_CLASSIFIER = "of the classifier, which a detector has no use for"


class _PretrainedBody(PretrainedInit):
    """Start a body from a published ImageNet file.

    Every key of the file must be known, and everything must be in it that is not the detector's own.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    kind: str
    witness: str
    rules: Callable[[str, str], list]
    classifier: tuple[str, ...]
    own: tuple[str, ...]

    def __init__(self, checkpoint: str) -> None:
        super().__init__(checkpoint)

    def __call__(self, module: BaseModule) -> None:
        """Fill the body, and log what came from the file and what did not.

        Raises:
            CheckpointMismatchError: the file holds another kind of network or one of another size; a key is missing.
        """
        file = strip_wrappers(CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu"), self.checkpoint)
        state = self.convert(file, module)
        module.load_state_dict(state, strict=False)
        fresh = [key for key in module.state_dict() if key not in state]
        MMLogger.get_current_instance().info(
            f"{self.checkpoint}: {len(state)} tensors loaded, {len(file) - len(state)} of the file left out; "
            f"{len(fresh)} are not in it and start as drawn: {', '.join(sorted({_summary(key) for key in fresh}))}"
        )
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())

    def convert(self, file: dict[str, Tensor], body: BaseModule) -> dict[str, Tensor]:
        """Return a body's weights for those of a file.

        Raises:
            CheckpointMismatchError: see :meth:`__call__`.
        """
        if self.witness not in file:
            line = f"it has no {self.witness}; its keys are {', '.join(list(file)[:3])}, ... Fix: {self.kind}"
            raise CheckpointMismatchError(self.checkpoint, {"it is another network": [line]})
        rules = KeyRules([*(Drop(key, _CLASSIFIER) for key in self.classifier), *type(self).rules("", "")])
        state = convert(file, rules, source=self.checkpoint)
        fresh = {key: value for key, value in body.state_dict().items() if self._is_own(key)}
        problems = differences(fresh | state, body)
        if any(problems.values()):
            problems = {f"{kind} (arch of the config, file of another size?)": rows for kind, rows in problems.items()}
            raise CheckpointMismatchError(self.checkpoint, problems)
        return state

    def _is_own(self, key: str) -> bool:
        return key.startswith(self.own) or "det_pos_linear" in key


@WEIGHT_INITIALIZERS.register_module()
class PretrainedSwinBody(_PretrainedBody):
    """Start a ``ViDTSwinTransformer`` from a file of microsoft/Swin-Transformer, or the nano file of naver-ai/vidt.

    ``init_cfg=dict(type='PretrainedSwinBody', checkpoint='swin_tiny_patch4_window7_224.pth')``.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    kind = "take a file of microsoft/Swin-Transformer with windows of 7, or PretrainedCoaTBody for one of CoaT"
    witness = "layers.0.blocks.0.attn.qkv.weight"
    rules = staticmethod(swin_rules)
    classifier = ("norm.*", "head.*")
    own = ("det_", "stages.3.downsample.")


@WEIGHT_INITIALIZERS.register_module()
class PretrainedCoaTBody(_PretrainedBody):
    """Start a ``ViDTCoaT`` from a CoaT-Lite file.

    ``init_cfg=dict(type='PretrainedCoaTBody', checkpoint='coat_lite_tiny-461b07a7.pth')``.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    kind = "take a CoaT-Lite file, or PretrainedSwinBody for one of a Swin Transformer"
    witness = "serial_blocks1.0.factoratt_crpe.qkv.weight"
    rules = staticmethod(coat_rules)
    classifier = ("norm{i}.*", "head.*")
    own = ("det_", "patch_embed5.")


def _summary(key: str) -> str:
    return "det_pos_linear of the blocks" if "det_pos_linear" in key else key
