"""The official graph model, written down plainly from its description; see ``plain_meta_encoder.py``.

Graph by graph to tokens, then blocks that attend over the graphs of a batch, as the official code's axes have it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

_SPEC = importlib.util.spec_from_file_location(
    "mm_meta_transformer_plain_encoder_of_graphs", Path(__file__).with_name("plain_meta_encoder.py")
)
_BLOCKS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_BLOCKS)
linear, norm, encoder = _BLOCKS.linear, _BLOCKS.norm, _BLOCKS.encoder
Weights = dict[str, Tensor]
BODY = "encoder.graph_encoder"


def tokens_of(weights: Weights, graphs: dict[str, Tensor]) -> Tensor:
    """(B, 2 + T, C) of padded graphs."""

    def table(name: str, codes: Tensor) -> Tensor:
        return F.embedding(codes, weights[f"{BODY}.graph_feature.{name}.weight"])

    rows = []
    for nodes, edges, ends, vectors in zip(
        graphs["node_data"], graphs["edge_data"], graphs["edge_index"], graphs["lap_eigvec"], strict=True
    ):
        nodes, edges = nodes[nodes[:, 0] > 0], edges[edges[:, 0] > 0]
        own = torch.arange(len(nodes))
        pairs = torch.cat((torch.stack((own, own), 1), ends[: len(edges)]))
        width = weights[f"{BODY}.graph_feature.lap_encoder.weight"].shape[1] // 2
        vectors = F.pad(vectors, (0, width - vectors.shape[1]))
        both = torch.cat((vectors[pairs[:, 0]], vectors[pairs[:, 1]]), 1)
        tokens = torch.cat((table("atom_encoder", nodes).sum(1), table("edge_encoder", edges).sum(1)))
        tokens = tokens + linear(weights, f"{BODY}.graph_feature.lap_encoder", both)
        rows.append(tokens + table("order_encoder", (pairs[:, 0] == pairs[:, 1]).long()))
    longest = max(map(len, rows))
    tokens = torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
    special = [weights[f"{BODY}.graph_feature.{name}_token.weight"] for name in ("graph", "null")]
    return torch.cat((torch.cat(special).expand(len(tokens), -1, -1), tokens), 1)


def value(weights: Weights, graphs: dict[str, Tensor], heads: int) -> Tensor:
    """A value (B, 1) for each graph."""
    tokens = norm(weights, f"{BODY}.emb_layer_norm", tokens_of(weights, graphs), 1e-5)
    tokens = encoder(weights, f"{BODY}.layers.", tokens.transpose(0, 1), heads).transpose(0, 1)
    hidden = F.gelu(linear(weights, "encoder.lm_head_transform_weight", tokens))
    hidden = linear(weights, "encoder.embed_out", norm(weights, "encoder.layer_norm", hidden, 1e-5))
    return (hidden + weights["encoder.lm_output_learned_bias"])[:, 0]
