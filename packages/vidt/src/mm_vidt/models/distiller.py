"""Training a ViDT with the tokens of a larger one (arXiv 2110.03921; naver-ai/vidt @ 5207d04)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mm_vidt import checkpoint as converter
from mm_vidt.models.distillation import token_matching_loss
from mm_vidt.models.vidt import ViDT, padding_mask
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers

# the teacher's tokens do not depend on them, and neither need the number of classes be the student's
NOT_NEEDED = tuple(
    f"bbox_head.{part}"
    for part in ("cls_branches.", "iou_branches.", "vector_branch.", "token_embed.", "enc_output.", "enc_output_norm.")
)


@MODELS.register_module()
class ViDTDistiller(ViDT):
    """A :class:`ViDT` that also learns to have a teacher's tokens.

    The teacher is no part of it: its weights are neither saved nor optimised, and it stays in evaluation mode. It
    is loaded when a training begins or goes on, and has the student's device and precision. What is trained is a plain
    ViDT, whose config tests the saved weights.

    Args:
        teacher_config: the teacher's config file, or its ``model``.
        teacher_checkpoint: its weights, ours or official: a file or URL. Heads that tokens do not depend on may be of
            another number of classes, or missing.
        distil_weight: weight of ``loss_distil``.
        kwargs: the student's, as in :class:`ViDT`.
    """

    def __init__(
        self,
        teacher_config: str | Path | Mapping,
        teacher_checkpoint: str | Path,
        distil_weight: float = 4.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.distil_weight = distil_weight
        self._files = (teacher_config, teacher_checkpoint)
        self._unregistered: tuple[ViDT, ...] = ()  # in a tuple, modules of a module are not found

    @property
    def teacher(self) -> ViDT:
        """The frozen teacher, loaded when it is first asked for: building and testing the student needs none.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            CheckpointMismatchError: it does not fit the teacher's config.
            ValueError: it is no ViDT, or student and teacher differ in [DET] tokens, decoder layers or width.
        """
        if not self._unregistered:
            teacher = load_teacher(*self._files)
            _check_sizes(self, teacher)
            self._unregistered = (teacher.to(self.reference_points_fc.weight),)
        return self._unregistered[0]

    def init_weights(self) -> None:
        """Initialise the student, and load the teacher, so that a file at fault shows before the first step."""
        super().init_weights()
        _ = self.teacher

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ViDTDistiller:
        """Move or convert the teacher with the student: ``to``, ``cuda`` and the like come here."""
        for teacher in self._unregistered:
            teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the student's losses and ``loss_distil``.

        Raises:
            ValueError: the teacher's maps are in another order.
        """
        mask = padding_mask(batch_inputs, batch_data_samples)
        with torch.no_grad():
            wanted = self.teacher.forward_tokens(batch_inputs, mask)
        tokens = self.forward_tokens(batch_inputs, mask)
        distance = self.distil_weight * token_matching_loss(tokens, wanted)
        return self.bbox_head.loss(tokens, batch_data_samples) | {"loss_distil": distance}


def load_teacher(config: str | Path | Mapping, checkpoint: str | Path) -> ViDT:
    """Build a teacher and load its weights, frozen and in evaluation mode.

    Args:
        config, checkpoint: see :class:`ViDTDistiller`.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        CheckpointMismatchError: it does not fit the config.
        ValueError: the config is no ViDT's.
    """
    settings = Config.fromfile(config).model if isinstance(config, str | Path) else config
    teacher = MODELS.build({**settings, "init_cfg": None})
    if not isinstance(teacher, ViDT):
        raise ValueError(f"the teacher is a {type(teacher).__name__}, which has no tokens to match: give a ViDT")
    state = _weights(str(checkpoint))
    known = teacher.state_dict()
    fits = {
        key: value
        for key, value in state.items()
        if not key.startswith(NOT_NEEDED) or (key in known and known[key].shape == value.shape)
    }
    missing = {key: value for key, value in known.items() if key.startswith(NOT_NEEDED) and key not in fits}
    problems = differences(fits | missing, teacher)
    if any(problems.values()):
        raise CheckpointMismatchError(str(checkpoint), problems)
    teacher.load_state_dict(fits | missing)
    return teacher.eval().requires_grad_(False)


def _weights(checkpoint: str) -> dict[str, Tensor]:
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"teacher_checkpoint {checkpoint} does not exist: train the teacher first, or give the file or URL of its "
            "weights"
        ) from error
    state = strip_wrappers(content, checkpoint)
    return converter.from_official(state, source=checkpoint) if converter.is_official(state) else state


def _check_sizes(student: ViDT, teacher: ViDT) -> None:
    def sizes(model: ViDT) -> dict[str, int]:
        return {
            "num_det_tokens of the backbone": model.backbone.det_token.shape[1],
            "num_layers of the decoder": model.decoder.num_layers,
            "embed_dims": model.decoder.embed_dims,
        }

    own, other = sizes(student), sizes(teacher)
    wrong = [f"{name} is {own[name]}, the teacher's is {other[name]}" for name in own if own[name] != other[name]]
    if wrong:
        raise ValueError(f"tokens are matched one to one with the teacher's, but {'; '.join(wrong)}")
