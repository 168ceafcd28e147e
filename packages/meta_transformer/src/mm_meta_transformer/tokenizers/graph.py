"""Tokens of a graph: one for each node and each edge, as in TokenGT (arXiv 2207.02505)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mm_meta_transformer.tokenizers.tokens import Tokens


@MODELS.register_module()
class GraphTokenizer(BaseModule):
    """Embedded codes of nodes and edges, with the identifiers of the nodes that they belong to.

    A node's token is told apart by its own identifier twice, an edge's by those of its two ends. Before them stand a
    graph token, which a head reads, and a null token. Padding is zero.

    Args:
        embed_dims: channels ``C`` of a token.
        num_atoms: size of the table of node codes; 512 for each column of node features by default.
        num_edges: size of the table of edge codes.
        lap_dims: Laplacian eigenvectors that identify nodes, the first ones; 0 for none.
        lap_dropout: share of eigenvectors that are zeroed as a whole, for each graph, in training.
        lap_sign_flip: eigenvectors have no sign of their own, so in training each gets a random one for each graph.
        orf_dims: columns of a random orthogonal matrix, drawn in every pass, that identify nodes; 0 for none.
        rand_dims: random numbers, drawn in every pass, that identify nodes; 0 for none.
        type_id: add whether a token is a node's or an edge's.
        depth: blocks of the encoder; initial weights of linear layers have a deviation of ``0.02 / depth ** 0.5``.
        init_cfg: as in mmengine.
    """

    prefix = 2

    def __init__(
        self,
        embed_dims: int,
        num_atoms: int = 512 * 9,
        num_edges: int = 512 * 3,
        lap_dims: int = 16,
        lap_dropout: float = 0.2,
        lap_sign_flip: bool = True,
        orf_dims: int = 0,
        rand_dims: int = 0,
        type_id: bool = True,
        depth: int = 12,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        normal = [
            dict(type="Normal", layer="Embedding", std=0.02),
            dict(type="Normal", layer="Linear", std=0.02 / depth**0.5),
        ]
        super().__init__(init_cfg or normal)  # row 0 of the tables is drawn too: padding, which is masked
        self.lap_dims, self.orf_dims, self.rand_dims = lap_dims, orf_dims, rand_dims
        self.lap_dropout, self.lap_sign_flip = lap_dropout, lap_sign_flip
        self.atom_encoder = nn.Embedding(num_atoms, embed_dims, padding_idx=0)
        self.edge_encoder = nn.Embedding(num_edges, embed_dims, padding_idx=0)
        self.graph_token = nn.Embedding(1, embed_dims)
        self.null_token = nn.Embedding(1, embed_dims)
        self.rand_encoder = nn.Linear(2 * rand_dims, embed_dims, bias=False) if rand_dims else None
        self.orf_encoder = nn.Linear(2 * orf_dims, embed_dims, bias=False) if orf_dims else None
        self.lap_encoder = nn.Linear(2 * lap_dims, embed_dims, bias=False) if lap_dims else None
        self.order_encoder = nn.Embedding(2, embed_dims) if type_id else None

    def forward(self, inputs: dict[str, Tensor]) -> Tokens:
        """Return ``(B, 2 + T, C)`` tokens, ``T`` the most nodes and edges that a graph of the batch has.

        Args:
            inputs: of :class:`.PrepareGraph`, padded with zeros, which are no code:

                - ``node_data`` ``(B, N, F)`` and ``edge_data`` ``(B, E, G)``, codes;
                - ``edge_index`` ``(B, E, 2)``, the numbers of an edge's two nodes in its graph;
                - ``lap_eigvec`` ``(B, N, K)``, where the tokenizer has ``lap_dims``; missing ones count as zeros;
                - optionally ``orthogonal`` ``(B, N, K)`` and ``uniform`` ``(B, N, K)``, to be used in place of drawn
                  numbers.

        Returns:
            Tokens, their padding, and ``info["pairs"]`` ``(B, T, 2)``, the nodes that each token belongs to.

        Raises:
            ValueError: a code has no row in its table, an edge names a node that its graph has not, or there are no
                eigenvectors.
        """
        nodes, edges, ends = inputs["node_data"], inputs["edge_data"], inputs["edge_index"]
        is_node, is_edge = nodes[..., 0] > 0, edges[..., 0] > 0
        self._check(inputs, is_node, is_edge)
        order, padding, padded = _packed(is_node, is_edge)
        own = torch.arange(nodes.shape[1], device=nodes.device).expand(len(nodes), -1)
        pairs = torch.cat((torch.stack((own, own), -1), ends), 1)
        pairs = _taken(pairs, order).masked_fill(padding[..., None], 0)
        tokens = torch.cat((self.atom_encoder(nodes).sum(2), self.edge_encoder(edges).sum(2)), 1)
        tokens = _taken(tokens, order)
        if self.rand_encoder is not None:
            tokens = tokens + _identified(self.rand_encoder, self._uniform(inputs), pairs)
        if self.orf_encoder is not None:
            tokens = tokens + _identified(self.orf_encoder, self._orthogonal(inputs, is_node), pairs)
        if self.lap_encoder is not None:
            tokens = tokens + _identified(self.lap_encoder, self._eigenvectors(inputs), pairs)
        if self.order_encoder is not None:
            tokens = tokens + self.order_encoder((pairs[..., 0] == pairs[..., 1]).long())
        tokens = tokens.masked_fill(padding[..., None], 0)
        special = torch.cat((self.graph_token.weight, self.null_token.weight)).expand(len(tokens), -1, -1)
        padding = F.pad(padding, (self.prefix, 0), value=False) if padded else None  # attention is faster without
        return Tokens(torch.cat((special, tokens), 1), padding, {"pairs": pairs, "prefix": self.prefix})

    def _check(self, inputs: dict[str, Tensor], is_node: Tensor, is_edge: Tensor) -> None:
        if self.lap_encoder is not None and "lap_eigvec" not in inputs:
            raise ValueError("the graphs have no lap_eigvec. Fix: PrepareGraph makes it; or lap_dims=0 here")
        # On a GPU the comparisons would wait for the device in every step.
        if is_node.device.type != "cpu":
            return
        for key, table, size in (
            ("node_data", "num_atoms", self.atom_encoder.num_embeddings),
            ("edge_data", "num_edges", self.edge_encoder.num_embeddings),
        ):
            codes = inputs[key]
            if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < size:
                raise ValueError(
                    f"{key} has codes from {int(codes.min())} to {int(codes.max())}, the table rows for 0 to "
                    f"{size - 1}. Fix: {table} = offset of PrepareGraph times the {codes.shape[-1]} columns of features"
                )
        ends = inputs["edge_index"]
        outside = ((ends < 0) | (ends >= is_node.sum(1)[:, None, None])).any(-1) & is_edge
        if outside.any():
            graph, edge = outside.nonzero()[0].tolist()
            raise ValueError(
                f"edge {edge} of graph {graph} of the batch joins nodes {ends[graph, edge].tolist()}, the graph has "
                f"{int(is_node[graph].sum())}. Fix: number nodes from 0 on in each graph"
            )

    def _eigenvectors(self, inputs: dict[str, Tensor]) -> Tensor:
        vectors = _of_width(inputs["lap_eigvec"], self.lap_dims).to(self.lap_encoder.weight)
        if not self.training:
            return vectors
        factors = vectors.new_ones(len(vectors), 1, self.lap_dims)
        factors = F.dropout(factors, self.lap_dropout)
        if self.lap_sign_flip:
            factors = factors * (torch.randint_like(factors, 2) * 2 - 1)
        return vectors * factors

    def _orthogonal(self, inputs: dict[str, Tensor], is_node: Tensor) -> Tensor:
        rows = inputs.get("orthogonal")
        if rows is None:
            rows = self.orf_encoder.weight.new_zeros(*is_node.shape, is_node.shape[1])
            for graph, count in enumerate(is_node.sum(1).tolist()):
                drawn = torch.randn(count, count, device=rows.device)  # float32: there is no QR in half precision
                rows[graph, :count, :count] = F.normalize(torch.linalg.qr(drawn).Q.T, dim=1).to(rows)
        return F.normalize(_of_width(rows, self.orf_dims), dim=-1)

    def _uniform(self, inputs: dict[str, Tensor]) -> Tensor:
        rows = inputs.get("uniform")
        if rows is None:
            rows = torch.rand(*inputs["node_data"].shape[:2], self.rand_dims, device=self.rand_encoder.weight.device)
        return F.normalize(rows, dim=-1)


def _packed(is_node: Tensor, is_edge: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Return the places ``(B, T)`` of graphs' tokens among padded nodes and edges, which are padding, and if any is."""
    nodes, edges = is_node.sum(1, keepdim=True), is_edge.sum(1, keepdim=True)
    fewest, most = torch.stack((nodes + edges).aminmax()).tolist()
    place = torch.arange(most, device=is_node.device)[None]
    order = torch.where(place < nodes, place, place - nodes + is_node.shape[1])
    padding = place >= nodes + edges
    return order.masked_fill(padding, 0), padding, fewest < most


def _taken(rows: Tensor, order: Tensor) -> Tensor:
    """Return the rows ``(B, T, K)`` at places ``(B, T)`` of ``(B, N, K)``."""
    return rows.gather(1, order[..., None].expand(-1, -1, rows.shape[-1]))


def _identified(encoder: nn.Linear, rows: Tensor, pairs: Tensor) -> Tensor:
    """Return the embedding of the identifiers of both nodes of a pair."""
    both = torch.cat((_taken(rows, pairs[..., 0]), _taken(rows, pairs[..., 1])), -1)
    return encoder(both.to(encoder.weight.dtype))


def _of_width(rows: Tensor, width: int) -> Tensor:
    """Cut the last dimension, or fill it up with zeros."""
    return F.pad(rows, (0, width - rows.shape[-1]))
