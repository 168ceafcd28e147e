"""Meta-Transformer for dense prediction: the ViT-Adapter backbone, its start, and what the libraries lack for it.

Importing this module registers them in the root registry, which mmdet and mmsegmentation look into; it imports neither,
and the other modalities need neither, so the configs of dense prediction name it in ``custom_imports``.
"""

import mmrepro.dense.layer_decay  # noqa: F401
from mm_meta_transformer.dense import last_level_attention, pretrained, vit_adapter  # noqa: F401
