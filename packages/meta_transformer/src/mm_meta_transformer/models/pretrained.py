"""Public weights for the shared encoder: the released files, and the ViTs of OpenCLIP and timm.

mmengine's ``Pretrained`` knows our names alone, and where a key does not fit it warns and goes on with random weights.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import ClassVar

from mmengine.logging import MMLogger
from mmengine.model import BaseModule, PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.tokenizers.image import ImageTokenizer
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers

MIRROR = "https://download.openxlab.org.cn/models/zhangyiyuan/MetaTransformer/weight//"
WHERE = (
    "No script can fetch the released encoders. In a browser, take Meta-Transformer_base_patch16_encoder from "
    "https://drive.google.com/file/d/19ahcN2QKknkir_bayhTW5rucuAiX0OXq/view or Meta-Transformer_large_patch14_encoder "
    f"from https://drive.google.com/file/d/15EtzCBAQSqmelhdLz6k880A19_RpcX9B/view (mirrors: {MIRROR} with "
    "the same names behind, and kxgong/Meta-Transformer on Hugging Face), and give its path as checkpoint"
)
_BEFORE_BLOCKS = re.compile(r"(norm_pre\.|reg_token|dist_token).*")
_NUMBER = re.compile(r"\.\d+\.")
_BIAS = re.compile(r"blocks\.(\d+)\.attn\.qkv\.bias")
_CLIP = {
    "ln_1": "norm1",
    "attn.in_proj_": "attn.qkv.",
    "attn.out_proj": "attn.proj",
    "ln_2": "norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


class PublicFile(PretrainedInit):
    """Fill a module from the part of a public file that is its own, completely or not at all.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    takers: ClassVar[tuple[type[BaseModule], ...]] = (MetaTransformerEncoder,)
    expected: ClassVar[str]

    def __init__(self, checkpoint: str) -> None:
        super().__init__(checkpoint)

    def __call__(self, module: BaseModule) -> None:
        """Fill the module, and log how much of the file it took.

        Raises:
            TypeError: the file has nothing for a module of this class.
            FileNotFoundError: there is no such file; the message says where to get one.
            CheckpointMismatchError: the file holds another kind of network, or one of another size.
        """
        if not isinstance(module, self.takers):
            takers = ", ".join(kind.__name__ for kind in self.takers)
            raise TypeError(
                f"{type(self).__name__} has nothing for {type(module).__name__}. Fix: put this init_cfg into {takers}"
            )
        file = self.read()
        names = self.part(file, module)
        if not names:
            keys = ", ".join(list(file)[:3])
            line = f"its keys are {keys}, ... {self.expected}"
            raise CheckpointMismatchError(self.checkpoint, {"it is another network": [line]})
        state = {ours: file[theirs] for ours, theirs in names.items()}
        if isinstance(module, MetaTransformerEncoder):
            state = _with_biases_of(module, state)
        problems = differences(state, module)
        if any(problems.values()):
            raise CheckpointMismatchError(
                self.checkpoint,
                {f"{kind} (is the file of another arch than the config?)": lines for kind, lines in problems.items()},
            )
        module.load_state_dict(state)
        left = listed(key for key in file if key not in names.values())
        what = f"{self.checkpoint}: {len(names)} of {len(file)} tensors loaded into {type(module).__name__}"
        self.finish(module, f"{what}; of no use there: {left}")

    def read(self) -> dict[str, Tensor]:
        """Return the file's state dict.

        Raises:
            FileNotFoundError: there is no such file; the message says where to get one.
        """
        try:
            file = CheckpointLoader.load_checkpoint(self.checkpoint, map_location="cpu")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{self.checkpoint} is not there. {self.expected}") from error
        return strip_wrappers(file, self.checkpoint)

    def finish(self, module: nn.Module, report: str) -> None:
        """Log what became of the file's keys, and tell mmengine that the module is initialised."""
        MMLogger.get_current_instance().info(report)
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())

    def part(self, file: Mapping[str, Tensor], module: BaseModule) -> dict[str, str]:
        """Return the file's key of each of a module's weights; nothing where the file is another network's."""
        raise NotImplementedError


@WEIGHT_INITIALIZERS.register_module()
class PretrainedMetaEncoder(PublicFile):
    """Fill a ``MetaTransformerEncoder`` from a released file, or one of ours.

    ``init_cfg=dict(type="PretrainedMetaEncoder", checkpoint="Meta-Transformer_base_patch16_encoder.pth")``.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    expected: ClassVar = WHERE

    def part(self, file: Mapping[str, Tensor], module: BaseModule) -> dict[str, str]:
        """Return the blocks of ``0.norm1.weight`` (released) or ``blocks.0.norm1.weight`` (ours)."""
        if "0.norm1.weight" in file:
            return {f"blocks.{key}": key for key in file}
        ours = "blocks.0.norm1.weight" in file and "cls_token" not in file
        return {key: key for key in file} if ours else {}


@WEIGHT_INITIALIZERS.register_module()
class PretrainedCLIPVision(PublicFile):
    """Fill a ``MetaTransformerEncoder`` with the blocks of an OpenCLIP model's visual tower.

    The released encoders are said to be such blocks, of LAION-2B (issue 72 of the official repository). OpenAI's own
    CLIP files have the same names but another activation (QuickGELU), so they would compute something else.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    expected: ClassVar = "Fix: a state dict of OpenCLIP, with keys visual.transformer.resblocks.0.ln_1.weight, ..."

    def part(self, file: Mapping[str, Tensor], module: BaseModule) -> dict[str, str]:
        """Return the blocks of ``[visual.]transformer.resblocks``; a text tower's are under ``transformer.`` beside."""
        prefix = "visual.transformer.resblocks."
        if not any(key.startswith(prefix) for key in file):
            prefix = "transformer.resblocks." if "conv1.weight" in file else "no visual tower"
        names = {}
        for key in file:
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                for theirs, ours in _CLIP.items():
                    name = name.replace(theirs, ours)
                names[f"blocks.{name}"] = key
        return names


@WEIGHT_INITIALIZERS.register_module()
class PretrainedTimmViT(PublicFile):
    """Fill a ``MetaTransformerEncoder`` with the blocks of a plain ViT of timm, or an ``ImageTokenizer`` with the rest.

    timm's norms have an epsilon of 1e-6: set ``norm_eps=1e-6``. What a module has no use for is logged, a last norm and
    a head for example. A tokenizer refuses a file with a norm (CLIP's) or more tokens before the blocks: it has none.

    Args:
        checkpoint: a path or URL, as mmengine knows them.
    """

    takers: ClassVar = (MetaTransformerEncoder, ImageTokenizer)
    expected: ClassVar = (
        "Fix: a state dict of timm's VisionTransformer, with keys blocks.0.norm1.weight, cls_token, ..."
    )

    def part(self, file: Mapping[str, Tensor], module: BaseModule) -> dict[str, str]:
        """Return the blocks, or class token, positions and patches."""
        if "blocks.0.norm1.weight" not in file or "patch_embed.proj.weight" not in file:
            return {}
        wanted = ("blocks.",) if isinstance(module, MetaTransformerEncoder) else tuple(module.state_dict())
        before = [key for key in file if _BEFORE_BLOCKS.fullmatch(key)]
        if before and not isinstance(module, MetaTransformerEncoder):
            line = f"{listed(before)}. Fix: this init_cfg in the encoder alone, or the file of a plain ViT"
            kind = f"{type(module).__name__} has nothing for what is before the blocks"
            raise CheckpointMismatchError(self.checkpoint, {kind: [line]})
        return {key: key for key in file if key.startswith(wanted)}


def listed(keys: Iterable[str]) -> str:
    """Return keys, numbered ones together with how many they are."""
    counts = Counter(_NUMBER.sub(".*.", key) for key in keys)
    return ", ".join(f"{key} ({count})" if count > 1 else key for key, count in counts.items()) or "none"


def _with_biases_of(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict whose joint biases are cut for an encoder that has none for its keys.

    A bias of the keys shifts all scores of a query alike, which softmax does not see: leaving it out changes nothing.
    """
    if "blocks.0.attn.q_bias" not in module.state_dict():
        return state
    cut: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = _BIAS.fullmatch(key)
        if match is None:
            cut[key] = tensor
        else:
            cut[f"blocks.{match.group(1)}.attn.q_bias"], _, cut[f"blocks.{match.group(1)}.attn.v_bias"] = tensor.chunk(
                3
            )
    return cut
