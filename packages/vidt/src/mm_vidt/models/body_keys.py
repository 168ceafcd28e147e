"""Names of a body's weights: those of the official detectors and of the ImageNet files, and ours.

Each function returns key rules for two prefixes, ``backbone.`` or none. An ImageNet file lacks some of the keys and has
a classifier besides.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmrepro.checkpoint import Alias, Drop, Rename


def swin_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of a Swin Transformer."""
    return [
        Rename(f"{theirs}patch_embed.proj.*", f"{ours}patch_embed.projection.*"),
        Rename(f"{theirs}patch_embed.norm.*", f"{ours}patch_embed.norm.*"),
        *swin_stage_rules(f"{theirs}layers.{{s}}.", f"{ours}stages.{{s}}."),
        *(Drop(f"{theirs}norm{number}.*", "never used") for number in (1, 2, 3)),
        *(Rename(f"{theirs}{name}", f"{ours}{name}") for name in ("det_token", "det_pos_embed")),
    ]


def swin_stage_rules(theirs: str, ours: str) -> list[Rename | Drop]:
    """Return the rules of one stage, with the merging after it."""
    block, our_block, merging = f"{theirs}blocks.{{b}}.", f"{ours}blocks.{{b}}.", "downsample."
    attention = ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias", "relative_position_bias_table")
    return [
        Drop(f"{block}attn_mask", "depends on the picture's size"),
        Drop(f"{block}attn.relative_position_index", "follows from the window"),
        *(Rename(f"{block}{name}.*", f"{our_block}{name}.*") for name in ("norm1", "norm2", "det_pos_linear")),
        *(Rename(f"{block}attn.{name}", f"{our_block}attn.w_msa.{name}") for name in attention),
        Rename(f"{block}mlp.fc1.*", f"{our_block}ffn.layers.0.0.*"),
        Rename(f"{block}mlp.fc2.*", f"{our_block}ffn.layers.1.*"),
        Rename(f"{theirs}{merging}norm.*", f"{ours}{merging}norm.*"),
        Rename(f"{theirs}{merging}reduction.weight", f"{ours}{merging}reduction.weight"),
        Drop(f"{theirs}{merging}expansion.weight", "never used"),
        Drop(f"{theirs}{merging}norm2.*", "never used"),
    ]


def coat_rules(theirs: str, ours: str, depths: Sequence[int] = (2, 2, 2, 2)) -> list[Rename | Alias]:
    """Return the rules of a CoaT-Lite: its names are ours, without the second names of what a stage's blocks share.

    Args:
        theirs, ours: prefixes.
        depths: blocks of the stages; the way back writes the second names of that many.
    """
    rules: list[Rename | Alias] = []
    for stage, depth in enumerate(depths, start=1):
        block, blocks = f"{theirs}serial_blocks{stage}.{{b}}.", tuple(range(depth))
        rules += [
            Alias(f"{block}cpe.*", f"{theirs}cpe{stage}.*", blocks),
            Alias(f"{block}factoratt_crpe.crpe.*", f"{theirs}crpe{stage}.*", blocks),
        ]
    return [*rules, Rename(f"{theirs}*", f"{ours}*")]
