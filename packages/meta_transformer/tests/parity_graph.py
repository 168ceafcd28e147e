"""The official graph and text code: tokens of graphs, the whole model, preparation, and padded text features."""

from __future__ import annotations

import numpy as np
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.nn.utils.rnn import pad_sequence

from mm_meta_transformer.checkpoints import graph
from mm_meta_transformer.datasets.graph_preparation import PrepareGraph, adjacency, laplacian_eigen
from mm_meta_transformer.tokenizers.tokens import Tokens

MAX_NODES = 128  # the official collator leaves larger graphs out
OTHER_NETWORKS = ("performer", "share_encoder_input_output_embed")


def graph_tokengt_forward(manifest: dict, state: dict, inputs: dict) -> dict:
    """The official model: blocks that attend over the graphs of a batch, 32 heads.

    Raises:
        ValueError: the config has an option on that makes another network, or an unknown activation.
    """
    config = manifest["config"]
    for name in OTHER_NETWORKS:
        if config.get(name):
            raise ValueError(f"{name}={config[name]!r} is another network than the released one")
    state = {key: torch.from_numpy(value) for key, value in state.items()}
    settings = graph.infer_config(state)
    settings["encoder"]["num_heads"] = config["encoder_attention_heads"]
    settings["activation"] = config.get("activation_fn", "gelu")
    with torch.device("meta"):  # nothing is drawn for weights that are given
        model = MODELS.build(settings).eval()
    model.load_state_dict(graph.rules(state).forward(state), assign=True)
    kept = {}
    tokens: list[Tokens] = []
    model.tokenizer.register_forward_hook(lambda _, __, found: tokens.append(found))
    model.output.register_forward_hook(lambda _, __, found: kept.update(logits=found))
    for number, block in enumerate(model.encoder.blocks, 1):
        block.register_forward_hook(lambda _, __, found, name=f"state{number}": kept.update({name: found}))
    wanted = torch.from_numpy(inputs["y"]).reshape(-1, 1).expand(-1, model.output.out_features)
    samples = [DataSample(gt_value=value) for value in wanted.squeeze(1)]
    with torch.no_grad():
        loss = model(_batch(inputs), samples, mode="loss")["loss"] * wanted.numel()
    kept = {name: found.numpy() for name, found in kept.items()}
    return kept | {"l1_sum": loss.numpy()} | _arrays(tokens[0])


def data2seq_graph(manifest: dict, state: dict, inputs: dict) -> dict:
    """The tokenizer with up to three kinds of node identifiers; both random draws are given."""
    config = manifest["config"]
    tokenizer = MODELS.build(
        dict(
            type="GraphTokenizer",
            embed_dims=config["hidden_dim"],
            num_atoms=config["num_atoms"],
            num_edges=config["num_edges"],
            lap_dims=config["lap_node_id_k"] if config["lap_node_id"] else 0,
            orf_dims=config["orf_node_id_dim"] if config["orf_node_id"] else 0,
            rand_dims=config["rand_node_id_dim"] if config["rand_node_id"] else 0,
            type_id=bool(config["type_id"]),
        )
    ).eval()
    tokenizer.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    with torch.no_grad():
        return _arrays(tokenizer(_batch(inputs)))


def graph_collate(manifest: dict, state: dict, inputs: dict) -> dict:
    """The preparation of graphs; ours are joined as the official collator does, which leaves large ones out."""
    config = manifest["config"]
    every = [len(inputs[f"x{number}"]) for number in range(config["num_graphs"])]
    numbers = [number for number, size in enumerate(every) if size <= config.get("max_node", MAX_NODES)]
    sizes = [every[number] for number in numbers]
    outputs, values, degrees, graphs = {}, [], [], []
    for number, size in zip(numbers, sizes, strict=True):
        ends, edges = inputs[f"edge_index{number}"], inputs[f"edge_attr{number}"]
        one = {
            "node_features": inputs[f"x{number}"],
            "edge_index": ends,
            "edge_features": edges[:, None] if edges.ndim == 1 else edges,
        }
        eigenvalues, vectors = laplacian_eigen(ends, size)
        values += [np.pad(eigenvalues, (0, max(sizes) - size))] * size
        degrees.append(adjacency(ends, size).sum(1) + 1)
        prepared = PrepareGraph(num_eigenvectors=size, max_nodes=size, offset=config["offset"])(one)
        np.testing.assert_allclose(prepared["lap_eigvec"], vectors, atol=1e-6)
        outputs[f"lap{number}"] = prepared["lap_eigvec"] * eigenvalues @ prepared["lap_eigvec"].T
        graphs.append(prepared)
    return outputs | {
        "node_data": np.concatenate([one["node_data"] for one in graphs]),
        "edge_data": np.concatenate([one["edge_data"] for one in graphs]),
        "edge_index": np.concatenate([one["edge_index"] for one in graphs]).T,
        "in_degree": np.concatenate(degrees),
        "lap_eigval": np.stack(values),
        "y": np.concatenate([inputs[f"y{number}"] for number in numbers]),
        "node_num": np.array(sizes),
        "edge_num": np.array([len(one["edge_data"]) for one in graphs]),
    }


def data2seq_text_zero_padding(manifest: dict, state: dict, inputs: dict) -> dict:
    """A text's feature of another model, filled up with zeros; officially a longer one is cut."""
    width = manifest["config"]["tar_dim"]
    tokenizer = MODELS.build(dict(type="TextFeatureTokenizer", embed_dims=width))
    return {"tokens": tokenizer(torch.from_numpy(inputs["clip_text"][:, :width])).tokens[:, 0].numpy()}


def _arrays(tokens: Tokens) -> dict[str, np.ndarray]:
    """Return the three official outputs of the tokenizer; ours gives no mask where no graph is padded."""
    padding = tokens.padding
    if padding is None:
        padding = torch.zeros(tokens.tokens.shape[:2], dtype=torch.bool)
    return {
        "tokens": tokens.tokens.numpy(),
        "padding_mask": padding.numpy(),
        "padded_index": tokens.info["pairs"].numpy(),
    }


def _batch(inputs: dict) -> dict[str, torch.Tensor]:
    """Return the official batch, whose graphs are one after the other, as a padded one."""
    nodes, edges = inputs["node_num"].tolist(), inputs["edge_num"].tolist()
    batch = {
        "node_data": _padded(torch.from_numpy(inputs["node_data"]), nodes),
        "edge_data": _padded(torch.from_numpy(inputs["edge_data"]), edges),
        "edge_index": _padded(torch.from_numpy(inputs["edge_index"]).T, edges),
    }
    for name, ours in (("lap_eigvec", "lap_eigvec"), ("rand_node_id", "uniform")):
        if name in inputs:
            batch[ours] = _padded(torch.from_numpy(inputs[name]), nodes)
    return batch | ({"orthogonal": torch.from_numpy(inputs["orf"])} if "orf" in inputs else {})


def _padded(rows: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    return pad_sequence(list(rows.split(sizes)), batch_first=True)
