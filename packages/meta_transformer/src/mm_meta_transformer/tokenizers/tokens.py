"""What every tokenizer returns: tokens, which of them are padding, and where they came from."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Tokens(NamedTuple):
    """The output of a tokenizer, whatever the modality.

    Attributes:
        tokens: ``(B, N, C)``, what the shared encoder reads.
        padding: ``(B, N)`` bool, true where a token is padding that no other token may attend to; ``None`` where
            every sample of the modality has the same number of tokens.
        info: Where the tokens came from, for pictures and decoders: the grid of an image, the centres of a point
            cloud's groups, the index pairs of a graph.
    """

    tokens: Tensor
    padding: Tensor | None
    info: dict[str, Any]
