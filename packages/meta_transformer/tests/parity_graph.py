"""The official graph and text code: tokens of graphs, the whole model, preparation, and padded text features."""

from __future__ import annotations

import numpy as np
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.nn.utils.rnn import pad_sequence

from mm_meta_transformer.checkpoints import graph
from mm_meta_transformer.datasets.graph_preparation import PrepareGraph, adjacency, laplacian_eigen


def graph_tokengt_forward(manifest: dict, state: dict, inputs: dict) -> dict:
    """The official model: blocks that attend over the graphs of a batch, 32 heads."""
    state = {key: torch.from_numpy(value) for key, value in state.items()}
    settings = graph.infer_config(state)
    settings["encoder"]["num_heads"] = manifest["config"]["encoder_attention_heads"]
    with torch.device("meta"):  # nothing is drawn for weights that are given
        model = MODELS.build(settings).eval()
    model.load_state_dict(graph.rules(state).forward(state), assign=True)
    kept = {}
    model.embed_norm.register_forward_pre_hook(lambda _, given: kept.update(tokens=given[0]))
    model.output.register_forward_hook(lambda _, __, found: kept.update(logits=found))
    for number, block in enumerate(model.encoder.blocks, 1):
        block.register_forward_hook(lambda _, __, found, name=f"state{number}": kept.update({name: found}))
    batch = _batch(inputs)
    samples = [DataSample(gt_value=torch.tensor(value)) for value in inputs["y"]]
    with torch.no_grad():
        loss = model(batch, samples, mode="loss")["loss"] * len(samples)
        tokens = model.tokenizer(batch)
    kept = {name: found.numpy() for name, found in kept.items()}
    return kept | {
        "l1_sum": loss.numpy(),
        "padding_mask": tokens.padding.numpy(),
        "padded_index": tokens.info["pairs"].numpy(),
    }


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
        tokens = tokenizer(_batch(inputs))
    return {
        "tokens": tokens.tokens.numpy(),
        "padding_mask": tokens.padding.numpy(),
        "padded_index": tokens.info["pairs"].numpy(),
    }


def graph_collate(manifest: dict, state: dict, inputs: dict) -> dict:
    """The preparation of two graphs; ours are joined as the official collator does."""
    graphs = [
        {
            "node_features": inputs[f"x{number}"],
            "edge_index": inputs[f"edge_index{number}"],
            "edge_features": inputs[f"edge_attr{number}"],
        }
        for number in range(manifest["config"]["num_graphs"])
    ]
    sizes = [len(one["node_features"]) for one in graphs]
    outputs, values, degrees = {}, [], []
    for number, (one, size) in enumerate(zip(graphs, sizes, strict=True)):
        eigenvalues, vectors = laplacian_eigen(one["edge_index"], size)
        values += [np.pad(eigenvalues, (0, max(sizes) - size))] * size
        degrees.append(adjacency(one["edge_index"], size).sum(1) + 1)
        prepared = PrepareGraph(num_eigenvectors=size, offset=manifest["config"]["offset"])(dict(one))
        np.testing.assert_allclose(prepared["lap_eigvec"], vectors, atol=1e-6)
        outputs[f"lap{number}"] = prepared["lap_eigvec"] * eigenvalues @ prepared["lap_eigvec"].T
        graphs[number] = prepared
    return outputs | {
        "node_data": np.concatenate([one["node_data"] for one in graphs]),
        "edge_data": np.concatenate([one["edge_data"] for one in graphs]),
        "edge_index": np.concatenate([one["edge_index"] for one in graphs]).T,
        "in_degree": np.concatenate(degrees),
        "lap_eigval": np.stack(values),
        "y": np.concatenate([inputs[f"y{number}"] for number in range(len(graphs))]),
        "node_num": np.array(sizes),
        "edge_num": np.array([len(one["edge_data"]) for one in graphs]),
    }


def data2seq_text_zero_padding(manifest: dict, state: dict, inputs: dict) -> dict:
    """A text's feature of another model, filled up with zeros."""
    tokenizer = MODELS.build(dict(type="TextFeatureTokenizer", embed_dims=manifest["config"]["tar_dim"]))
    return {"tokens": tokenizer(torch.from_numpy(inputs["clip_text"])).tokens[:, 0].numpy()}


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
