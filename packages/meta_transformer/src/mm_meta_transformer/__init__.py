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

from mmrepro import safe_loading  # noqa: E402

safe_loading.install()

import mm_meta_transformer.checkpoint_hook  # noqa: E402
import mm_meta_transformer.datasets.adult  # noqa: E402
import mm_meta_transformer.datasets.alternating_batches  # noqa: E402
import mm_meta_transformer.datasets.audio_files  # noqa: E402
import mm_meta_transformer.datasets.audio_transforms  # noqa: E402
import mm_meta_transformer.datasets.bank  # noqa: E402
import mm_meta_transformer.datasets.cached_features  # noqa: E402
import mm_meta_transformer.datasets.clip_views  # noqa: E402
import mm_meta_transformer.datasets.digits  # noqa: E402
import mm_meta_transformer.datasets.every_frame  # noqa: E402
import mm_meta_transformer.datasets.generated_molecules  # noqa: E402
import mm_meta_transformer.datasets.generated_pictures  # noqa: E402
import mm_meta_transformer.datasets.generated_points  # noqa: E402
import mm_meta_transformer.datasets.generated_sentences  # noqa: E402
import mm_meta_transformer.datasets.generated_tones  # noqa: E402
import mm_meta_transformer.datasets.gin_text  # noqa: E402
import mm_meta_transformer.datasets.glue  # noqa: E402
import mm_meta_transformer.datasets.graph_preparation  # noqa: E402
import mm_meta_transformer.datasets.hyperspectral  # noqa: E402
import mm_meta_transformer.datasets.imu  # noqa: E402
import mm_meta_transformer.datasets.labelled_texts  # noqa: E402
import mm_meta_transformer.datasets.load_clip  # noqa: E402
import mm_meta_transformer.datasets.molecules  # noqa: E402
import mm_meta_transformer.datasets.pack  # noqa: E402
import mm_meta_transformer.datasets.paired_modalities  # noqa: E402
import mm_meta_transformer.datasets.pcqm4mv2  # noqa: E402
import mm_meta_transformer.datasets.picture_folder  # noqa: E402
import mm_meta_transformer.datasets.point_folder  # noqa: E402
import mm_meta_transformer.datasets.point_transforms  # noqa: E402
import mm_meta_transformer.datasets.regdb  # noqa: E402
import mm_meta_transformer.datasets.speech_commands  # noqa: E402
import mm_meta_transformer.datasets.spoken_digits  # noqa: E402
import mm_meta_transformer.datasets.table_rows  # noqa: E402
import mm_meta_transformer.datasets.task_mixture  # noqa: E402
import mm_meta_transformer.evaluation.absolute_error  # noqa: E402
import mm_meta_transformer.evaluation.land_cover_metric  # noqa: E402
import mm_meta_transformer.evaluation.log_loss  # noqa: E402
import mm_meta_transformer.evaluation.majority_baseline  # noqa: E402
import mm_meta_transformer.evaluation.part_iou  # noqa: E402
import mm_meta_transformer.evaluation.point_iou  # noqa: E402
import mm_meta_transformer.evaluation.retrieval_metric  # noqa: E402
import mm_meta_transformer.evaluation.task_metrics  # noqa: E402
import mm_meta_transformer.feature_cache  # noqa: E402
import mm_meta_transformer.models.clip_data_preprocessor  # noqa: E402
import mm_meta_transformer.models.data_preprocessor  # noqa: E402
import mm_meta_transformer.models.encoder  # noqa: E402
import mm_meta_transformer.models.frozen_features  # noqa: E402
import mm_meta_transformer.models.heads  # noqa: E402
import mm_meta_transformer.models.losses.point_cross_entropy  # noqa: E402
import mm_meta_transformer.models.losses.poly_focal  # noqa: E402
import mm_meta_transformer.models.losses.smooth_cross_entropy  # noqa: E402
import mm_meta_transformer.models.meta_classifier  # noqa: E402
import mm_meta_transformer.models.meta_forecaster  # noqa: E402
import mm_meta_transformer.models.meta_graph  # noqa: E402
import mm_meta_transformer.models.meta_points  # noqa: E402
import mm_meta_transformer.models.multi_view_classifier  # noqa: E402
import mm_meta_transformer.models.point_decoder  # noqa: E402
import mm_meta_transformer.models.point_heads  # noqa: E402
import mm_meta_transformer.models.pretrained  # noqa: E402
import mm_meta_transformer.models.retrieval_head  # noqa: E402
import mm_meta_transformer.models.token_fusion  # noqa: E402
import mm_meta_transformer.models.unified  # noqa: E402
import mm_meta_transformer.repair_count_hook  # noqa: E402
import mm_meta_transformer.tokenizers.audio  # noqa: E402
import mm_meta_transformer.tokenizers.graph  # noqa: E402
import mm_meta_transformer.tokenizers.hyperspectral  # noqa: E402
import mm_meta_transformer.tokenizers.image  # noqa: E402
import mm_meta_transformer.tokenizers.points  # noqa: E402
import mm_meta_transformer.tokenizers.series  # noqa: E402
import mm_meta_transformer.tokenizers.tabular  # noqa: E402
import mm_meta_transformer.tokenizers.text  # noqa: E402
import mm_meta_transformer.tokenizers.video  # noqa: E402, F401
import mmrepro.engine.components  # noqa: E402
import mmrepro.forecasting  # noqa: E402, F401
from mm_meta_transformer.inferencer import MetaTransformerInferencer  # noqa: E402

__all__ = ["MetaTransformerInferencer"]
