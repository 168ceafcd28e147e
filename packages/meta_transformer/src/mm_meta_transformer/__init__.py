"""Meta-Transformer: one encoder, frozen or tuned, for twelve modalities (arXiv 2307.10802).

Importing this module registers the paper's models, data sets and metrics in mmpretrain's registries, serves the
operators of ``mmcv._ext`` where mmcv has none compiled, and puts the safe checkpoint loader behind every door of
mmengine. Dense prediction needs mmdetection and mmsegmentation: its configs import :mod:`mm_meta_transformer.dense`.
"""

from importlib.util import find_spec

missing = [name for name in ("mmengine", "mmpretrain") if find_spec(name) is None]
if missing:
    raise ImportError(
        f"mm_meta_transformer needs mmengine and mmpretrain; {', '.join(missing)} cannot be imported: "
        "pip install onedl-mmengine onedl-mmpretrain "
        '(or install this package with its extra: pip install "./packages/meta_transformer[openmmlab]")'
    )
del find_spec, missing

from mmrepro import safe_loading

safe_loading.install()

import mm_meta_transformer.checkpoint_hook
import mm_meta_transformer.datasets.adult
import mm_meta_transformer.datasets.alternating_batches
import mm_meta_transformer.datasets.audio_files
import mm_meta_transformer.datasets.audio_transforms
import mm_meta_transformer.datasets.bank
import mm_meta_transformer.datasets.cached_features
import mm_meta_transformer.datasets.clip_views
import mm_meta_transformer.datasets.digits
import mm_meta_transformer.datasets.every_frame
import mm_meta_transformer.datasets.generated_molecules
import mm_meta_transformer.datasets.generated_pictures
import mm_meta_transformer.datasets.generated_points
import mm_meta_transformer.datasets.generated_sentences
import mm_meta_transformer.datasets.generated_tones
import mm_meta_transformer.datasets.gin_text
import mm_meta_transformer.datasets.glue
import mm_meta_transformer.datasets.graph_preparation
import mm_meta_transformer.datasets.hyperspectral
import mm_meta_transformer.datasets.imu
import mm_meta_transformer.datasets.labelled_texts
import mm_meta_transformer.datasets.load_clip
import mm_meta_transformer.datasets.molecules
import mm_meta_transformer.datasets.pack
import mm_meta_transformer.datasets.paired_modalities
import mm_meta_transformer.datasets.pcqm4mv2
import mm_meta_transformer.datasets.picture_folder
import mm_meta_transformer.datasets.point_folder
import mm_meta_transformer.datasets.point_transforms
import mm_meta_transformer.datasets.regdb
import mm_meta_transformer.datasets.speech_commands
import mm_meta_transformer.datasets.spoken_digits
import mm_meta_transformer.datasets.table_rows
import mm_meta_transformer.datasets.task_mixture
import mm_meta_transformer.evaluation.absolute_error
import mm_meta_transformer.evaluation.land_cover_metric
import mm_meta_transformer.evaluation.log_loss
import mm_meta_transformer.evaluation.majority_baseline
import mm_meta_transformer.evaluation.part_iou
import mm_meta_transformer.evaluation.point_iou
import mm_meta_transformer.evaluation.retrieval_metric
import mm_meta_transformer.evaluation.task_metrics
import mm_meta_transformer.feature_cache
import mm_meta_transformer.models.clip_data_preprocessor
import mm_meta_transformer.models.data_preprocessor
import mm_meta_transformer.models.encoder
import mm_meta_transformer.models.frozen_features
import mm_meta_transformer.models.heads
import mm_meta_transformer.models.losses.point_cross_entropy
import mm_meta_transformer.models.losses.poly_focal
import mm_meta_transformer.models.losses.smooth_cross_entropy
import mm_meta_transformer.models.meta_classifier
import mm_meta_transformer.models.meta_forecaster
import mm_meta_transformer.models.meta_graph
import mm_meta_transformer.models.meta_points
import mm_meta_transformer.models.multi_view_classifier
import mm_meta_transformer.models.point_decoder
import mm_meta_transformer.models.point_heads
import mm_meta_transformer.models.pretrained
import mm_meta_transformer.models.retrieval_head
import mm_meta_transformer.models.token_fusion
import mm_meta_transformer.models.unified
import mm_meta_transformer.repair_count_hook
import mm_meta_transformer.tokenizers.audio
import mm_meta_transformer.tokenizers.graph
import mm_meta_transformer.tokenizers.hyperspectral
import mm_meta_transformer.tokenizers.image
import mm_meta_transformer.tokenizers.points
import mm_meta_transformer.tokenizers.series
import mm_meta_transformer.tokenizers.tabular
import mm_meta_transformer.tokenizers.text
import mm_meta_transformer.tokenizers.video  # noqa: F401
import mmrepro.engine.components
import mmrepro.forecasting  # noqa: F401
from mm_meta_transformer.inferencer import MetaTransformerInferencer

__all__ = ["MetaTransformerInferencer"]
