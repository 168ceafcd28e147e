"""The head of MonoDINO-DETR: classes, boxes, sizes, depths and headings of every decoder layer.

Source: arXiv 2502.00315; JihyeokKim/MonoDINO-DETR @ 65004cc. Every layer has branches of its own. Those of the boxes
belong to the decoder's loop, which is given them and returns the boxes that it moved; officially they run twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.models.layers import MLP
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule, bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from mm_monodino_detr.models.criterion import MonoDETRCriterion
from mm_monodino_detr.models.decoded_queries import Cameras, DecodedQueries, collect_cameras
from mm_monodino_detr.models.decoding import best_pairs, decode
from mm_monodino_detr.models.heading_bins import NUM_BINS
from mm_monodino_detr.models.predictions import Predictions
from mmrepro.engine.without_autocast import without_autocast

PRIOR = bias_init_with_prob(0.01)  # every class starts with this probability
TEST_CFG = {"max_per_img": 50, "score_thr": 0.2, "exact_affine_decode": False}
SMALL_SIDE = -2.0  # the logit of each of the distances to a box's sides before training


@MODELS.register_module()
class MonoDETRHead(BaseModule):
    """Predictions of all decoder layers, their losses, and the detections of the last.

    Args:
        num_classes: of the class logits, for labels from 0 as the data set's ``classes`` count them: 1 for one class.
            Officially 4 for three classes; the last is nobody's, and published shapes have it.
        embed_dims: channels of a query.
        num_layers: decoder layers.
        group_num: groups of queries in training.
        num_depth_bins, depth_min, depth_max: the depth predictor's bins and their range in metres; the depth map's loss
            follows them, unless the criterion's ``official_depth_bins`` keeps it at 80 bins up to 60 m.
        known_classes: how many classes there are names for; detections of others are dropped, where the official code
            ends with an IndexError. None: all of ``num_classes``.
        criterion: arguments of :class:`MonoDETRCriterion` beside those above.
        test_cfg: ``max_per_img``, candidates of an image, 50 by default; ``score_thr``, the least score of a class,
            0.2; ``exact_affine_decode``, whether coordinates go back to the original image the way that they came
            (needs ``affine`` and ``img_shape`` in the metainfo), where officially they are stretched, see
            :func:`mm_monodino_detr.models.decoding.decode`.
        init_cfg: as in mmengine.

    Raises:
        ValueError: ``test_cfg`` has an unknown setting.
    """

    def __init__(
        self,
        num_classes: int = 4,
        embed_dims: int = 256,
        num_layers: int = 3,
        group_num: int = 11,
        num_depth_bins: int = 80,
        depth_min: float = 1e-3,
        depth_max: float = 60.0,
        known_classes: int | None = None,
        criterion: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes, self.num_layers = num_classes, num_layers
        self.known_classes = known_classes
        if unknown := set(test_cfg or {}) - set(TEST_CFG):
            raise ValueError(f"test_cfg has no {', '.join(sorted(unknown))}. Fix: settings are {', '.join(TEST_CFG)}")
        self.test_cfg = TEST_CFG | (test_cfg or {})
        self.criterion = MonoDETRCriterion(
            num_classes=num_classes,
            group_num=group_num,
            num_depth_bins=num_depth_bins,
            depth_min=depth_min,
            depth_max=depth_max,
            **(criterion or {}),
        )

        def branches(outputs: int, layers: int) -> nn.ModuleList:
            return nn.ModuleList(MLP(embed_dims, embed_dims, outputs, layers) for _ in range(num_layers))

        self.cls_branches = nn.ModuleList(nn.Linear(embed_dims, num_classes) for _ in range(num_layers))
        self.reg_branches = branches(6, 3)
        self.dim_branches = branches(3, 2)
        self.angle_branches = branches(2 * NUM_BINS, 2)
        self.depth_branches = branches(2, 2)

    def init_weights(self) -> None:
        """Initialise as the official code: layers start as copies of one another, every class has probability 0.01.

        Only in the first layer the distances to a box's sides start small, for the other layers move its boxes.
        """
        for branches in (
            self.cls_branches,
            self.reg_branches,
            self.dim_branches,
            self.angle_branches,
            self.depth_branches,
        ):
            for module in branches[0].modules():
                if isinstance(module, nn.Linear):
                    module.reset_parameters()
            for branch in branches[1:]:
                branch.load_state_dict(branches[0].state_dict())
        for branch in self.cls_branches:
            nn.init.constant_(branch.bias, PRIOR)
        nn.init.constant_(self.reg_branches[0].layers[-1].bias[2:], SMALL_SIDE)
        super().init_weights()  # it ends with what a file of ``init_cfg`` says

    def forward(self, states: DecodedQueries, cameras: Cameras) -> Predictions:
        """Return the predictions of the layers that are given, by the branches of the last so many layers.

        They are computed in float32 under autocast, too.

        Args:
            states: what the decoder computed; its boxes are taken as they are.
            cameras: of the original images.
        """
        hidden, boxes = states.hidden, states.boxes
        dims = self._by_layer(self.dim_branches, hidden)
        return Predictions(
            logits=self._by_layer(self.cls_branches, hidden),
            boxes=boxes,
            dims=dims,
            depths=depth_estimates(
                self._by_layer(self.depth_branches, hidden), boxes, dims[..., 0], states.depth.weighted, cameras
            ),
            angles=self._by_layer(self.angle_branches, hidden),
            depth_map_logits=states.depth.logits,
            weighted_depth=states.depth.weighted,
        )

    def _by_layer(self, branches: nn.ModuleList, hidden: Tensor) -> Tensor:
        used = branches[self.num_layers - len(hidden) :]
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        with without_autocast(hidden):  # bf16's rounding of metres and logits turns the gradients
            return torch.stack([branch(state) for branch, state in zip(used, hidden, strict=True)])

    def loss(self, states: DecodedQueries, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the weighted losses of a batch; see :class:`MonoDETRCriterion`.

        Args:
            states: what the decoder computed, of all layers.
            batch_data_samples: with ``gt_instances``, and ``cam2img`` and ``ori_shape`` in the metainfo.
        """
        instances, _, metas = unpack_gt_instances(batch_data_samples)
        cameras = collect_cameras(metas, states.boxes.float())
        return self.criterion(self(states, cameras), instances, metas)

    def predict(self, states: DecodedQueries, batch_data_samples: SampleList) -> list[InstanceData]:
        """Return the detections of each image in its original pixels and in the camera's frame.

        Args:
            states: what the decoder computed; the last layer is read.
            batch_data_samples: with ``cam2img`` and ``ori_shape`` in the metainfo.

        Returns:
            ``labels``, ``scores``, ``bboxes``, ``bboxes_3d`` and ``alphas`` of each image, as
            :func:`mm_monodino_detr.models.decoding.decode` gives them.

        Raises:
            KeyError: the metainfo lacks what is needed.
            ValueError: a candidate is not a number; see :func:`mm_monodino_detr.models.decoding.decode`.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        cameras = collect_cameras(metas, states.boxes.float())
        last = states._replace(hidden=states.hidden[-1:], boxes=states.boxes[-1:])
        chosen = best_pairs(self(last, cameras), self.test_cfg["max_per_img"])
        way = input_affines(metas) if self.test_cfg["exact_affine_decode"] else {}
        return decode(chosen, *cameras, self.test_cfg["score_thr"], self.known_classes, **way)


def depth_estimates(
    regressed: Tensor, boxes: Tensor, heights: Tensor, weighted_depth: Tensor, cameras: Cameras
) -> Tensor:
    """Return the mean of three estimates of each query's depth, and the logarithm of its variance.

    The estimates are the regressed one, that of the pinhole (the height in metres by that in pixels) and that of the
    depth map at the projected centre. They are computed in float32.

    Args:
        regressed: a logit of the inverse depth and the logarithm of the variance, ``(L, B, N, 2)``.
        boxes: (cx, cy, l, r, t, b) in parts of the network's input, ``(L, B, N, 6)``. Where the depth map is read does
            not train them.
        heights: of the objects in metres, ``(L, B, N)``.
        weighted_depth: in metres, ``(B, h, w)``.
        cameras: of the original images.

    Returns:
        Metres and the logarithm, ``(L, B, N, 2)``.
    """
    with without_autocast(boxes):
        regressed, boxes, heights = regressed.float(), boxes.float(), heights.float()
        direct = 1 / (regressed[..., 0].sigmoid() + 1e-6) - 1
        pixels = ((boxes[..., 4] + boxes[..., 5]) * cameras.sizes[:, 1:]).clamp(min=1)
        pinhole = heights / pixels * cameras.projections[:, 0, :1]
        places = 2 * boxes[..., :2].detach().transpose(0, 1) - 1  # (B, L, N, 2)
        of_map = F.grid_sample(weighted_depth.float()[:, None], places, align_corners=True)[:, 0].transpose(0, 1)
        return torch.stack([(direct + pinhole + of_map) / 3, regressed[..., 1]], -1)


def input_affines(batch_img_metas: Sequence[dict]) -> dict[str, Tensor]:
    """Return the ways from the original images to the network's input, as :func:`decode` takes them.

    Args:
        batch_img_metas: with ``affine`` ``(2, 3)`` and ``img_shape``, (H, W), of each image.

    Raises:
        KeyError: an image lacks one of the two.
    """
    for index, meta in enumerate(batch_img_metas):
        for key in ("affine", "img_shape"):
            if key not in meta:
                raise KeyError(
                    f"{meta.get('img_path', f'image {index} of the batch')} has no {key} in its metainfo, which "
                    f"exact_affine_decode needs. Fix: put {key} among meta_keys of PackMono3DInputs"
                )
    return {
        "affines": torch.tensor(np.array([meta["affine"] for meta in batch_img_metas]), dtype=torch.float64),
        "input_sizes": torch.tensor([meta["img_shape"][1::-1] for meta in batch_img_metas]),
    }
