"""What Relation-DETR and the four ``++`` models have in common (arXiv 2407.11699; xiuqhou/Relation-DETR @ b485955).

Backbone, neck, tokens, masks and proposals are those of mmdet's Deformable DETR. mmdet's DINO is no base for them: two
of the five have other queries, two no denoising, and it names the classes of its encoder, decoder and denoising itself.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from mmdet.models.detectors import DeformableDETR
from mmdet.models.layers import SinePositionalEncoding
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mm_relation_detr.models.decoder import RelationTransformerDecoder
from mm_relation_detr.models.denoising import ContrastiveDenoising
from mm_relation_detr.models.encoder import RelationTransformerEncoder


class Queries(NamedTuple):
    """What a pass of the decoder starts from, and the encoder's outputs that its loss supervises, if any."""

    content: Tensor  # (B, N, C)
    references: Tensor  # boxes (cx, cy, w, h) in [0, 1], (B, N, 4)
    enc_outputs_class: Tensor | None = None  # (B, K, classes)
    enc_outputs_coord: Tensor | None = None  # boxes in [0, 1], (B, K, 4)


class RelationTransformer(DeformableDETR):
    """Base of the detectors of Relation-DETR.

    Subclasses say what their encoder, decoder and denoising have of their own, and where queries come from.

    Args:
        args: as in mmdet.
        bbox_head: as in mmdet.
        dn_cfg: arguments of the denoising beside the number of classes, channels and queries; None where there is none.
        kwargs: as in mmdet. ``encoder`` and ``decoder`` take the arguments of :class:`RelationTransformerEncoder` and
            :class:`RelationTransformerDecoder`.

    Raises:
        ValueError: layers are made for another number of levels than the detector, or a detector without denoising
            gets a ``dn_cfg``.
    """

    two_stage: ClassVar[bool] = True
    encoder_settings: ClassVar[dict[str, Any]] = {}
    decoder_type: ClassVar[type[RelationTransformerDecoder]] = RelationTransformerDecoder
    decoder_settings: ClassVar[dict[str, Any]] = {}
    denoising: ClassVar[type[ContrastiveDenoising] | None] = None
    denoising_settings: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, *args: Any, bbox_head: dict | ConfigDict, dn_cfg: dict | ConfigDict | None = None, **kwargs: Any
    ) -> None:
        if dn_cfg and self.denoising is None:
            raise ValueError(f"{type(self).__name__} has no denoising: leave dn_cfg out")
        self.dn_cfg = dn_cfg
        # a copy: mmdet writes into it, and a config may be built twice
        settings = {"bbox_head": {**bbox_head}, "as_two_stage": self.two_stage, "with_box_refine": True}
        super().__init__(*args, **settings, **kwargs)

    def _init_layers(self) -> None:
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = RelationTransformerEncoder(**{**self.encoder_settings, **self.encoder})
        self.decoder = self.decoder_type(**{**self.decoder_settings, **self.decoder})
        self.embed_dims = self.encoder.embed_dims
        self._check_levels()
        self.level_embed = nn.Parameter(torch.randn(self.num_feature_levels, self.embed_dims))
        if self.two_stage:
            self.memory_trans_fc = nn.Linear(self.embed_dims, self.embed_dims)
            self.memory_trans_norm = nn.LayerNorm(self.embed_dims)
        self.dn_query_generator = None
        if self.denoising is not None:
            self.dn_query_generator = self.denoising(
                num_classes=self.bbox_head.num_classes,
                embed_dims=self.embed_dims,
                num_matching_queries=self.num_queries,
                **{**self.denoising_settings, **(self.dn_cfg or {})},
            )

    def _check_levels(self) -> None:
        attentions = {"encoder": self.encoder.layers[0].self_attn, "decoder": self.decoder.layers[0].cross_attn}
        for name, attention in attentions.items():
            if attention.num_levels != self.num_feature_levels:
                raise ValueError(
                    f"the {name}'s deformable attention has num_levels={attention.num_levels}, the detector has "
                    f"num_feature_levels={self.num_feature_levels}: give both the neck's num_outs"
                )

    @property
    def encoder_heads(self) -> tuple[nn.Module, nn.Module]:
        """The class and the box branch of the encoder, which mmdet places after those of the decoder's layers."""
        number = self.decoder.num_layers
        return self.bbox_head.cls_branches[number], self.bbox_head.reg_branches[number]

    def init_weights(self) -> None:
        """Initialise as the official code does; what is not named here keeps what PyTorch drew for it.

        Encoder layers officially start with equal biases of their feed-forward networks, here with their own.
        """
        # past mmdet's Deformable DETR, which draws all matrices of the encoder and layers that are not here
        super(DeformableDETR, self).init_weights()
        for layer in self.encoder.layers:
            for parameter in layer.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
            layer.self_attn.init_weights()
        if self.two_stage:
            nn.init.xavier_uniform_(self.memory_trans_fc.weight)
        nn.init.normal_(self.level_embed)

    @abstractmethod
    def pre_decoder(
        self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor
    ) -> tuple[Queries, Queries | None]:
        """Return the queries, and those of a second pass in training, if there is one.

        Args:
            memory: ``(B, S, C)``.
            memory_mask: ``(B, S)``, True where a token is padding.
            spatial_shapes: ``(L, 2)`` as (H, W).
        """

    def forward_transformer(self, img_feats: tuple[Tensor, ...], batch_data_samples: SampleList) -> dict[str, Any]:
        """Return the arguments of the head.

        Args:
            img_feats: the neck's maps, ``(B, C, H, W)`` each.
            batch_data_samples: sizes of images, and in training what is on them.

        Returns:
            ``hidden_states``, ``(layers, B, N, C)``, and ``boxes``, ``(layers, B, N, 4)`` in [0, 1]. In training also
            ``enc_outputs_class``, ``(B, K, classes)``, and ``enc_outputs_coord``, ``(B, K, 4)``, or None; ``dn_meta``,
            mmdet's counts of denoising queries, or None; and ``hybrid``, the same four of the second pass, or None.

        Raises:
            ValueError: the neck gives another number of maps than the layers are made for.
        """
        if len(img_feats) != self.num_feature_levels:
            raise ValueError(
                f"the neck gives {len(img_feats)} maps, the detector has num_feature_levels={self.num_feature_levels}: "
                "set the neck's num_outs to it"
            )
        encoder_inputs, shared = self.pre_transformer(img_feats, batch_data_samples)
        memory = self.forward_encoder(**encoder_inputs)["memory"]
        mask = shared.pop("memory_mask")
        queries, second = self.pre_decoder(memory, mask, shared["spatial_shapes"])
        shared |= dict(value=memory, key_padding_mask=mask, reg_branches=self.bbox_head.reg_branches)
        if second is not None:
            shared["values"] = self.decoder.project(memory, mask)
        noisy, attn_mask, dn_meta = queries, None, None
        if self.training and self.dn_query_generator is not None:
            noisy, attn_mask, dn_meta = self._with_denoising(queries, batch_data_samples)
        states, boxes = self.decoder(
            noisy.content, self_attn_mask=attn_mask, reference_points=noisy.references, **shared
        )
        if not self.training:
            return dict(hidden_states=states, boxes=boxes)
        hybrid = None
        if second is not None:
            hybrid_states, hybrid_boxes = self.decoder(
                second.content,
                self_attn_mask=None,
                reference_points=second.references,
                skip_relation=True,  # worse with it, by the author's word (issue 38 of the official code)
                **shared,
            )
            hybrid = self._head_inputs(hybrid_states, hybrid_boxes, second)
        return {**self._head_inputs(states, boxes, queries), "hybrid": hybrid, "dn_meta": dn_meta}

    def _with_denoising(self, queries: Queries, batch_data_samples: SampleList) -> tuple[Queries, Tensor, dict]:
        """Return denoising queries and, after them, those given, who may not see which, and how many there are."""
        content, box_logits, attn_mask, dn_meta = self.dn_query_generator(batch_data_samples)
        content = torch.cat([content, queries.content], dim=1)
        references = torch.cat([box_logits.sigmoid(), queries.references], dim=1)
        total = content.size(1)  # fewer than the mask is made for where there are fewer tokens than queries
        return Queries(content, references), attn_mask[:total, :total], dn_meta

    @staticmethod
    def _head_inputs(states: Tensor, boxes: Tensor, queries: Queries) -> dict[str, Any]:
        return dict(
            hidden_states=states,
            boxes=boxes,
            enc_outputs_class=queries.enc_outputs_class,
            enc_outputs_coord=queries.enc_outputs_coord,
        )
