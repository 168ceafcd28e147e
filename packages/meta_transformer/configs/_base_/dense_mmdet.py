# Runtime of the detectors: mmdetection's scope.
custom_imports = dict(
    imports=["mm_meta_transformer", "mm_meta_transformer.dense", "mmrepro.detection.shapes"],
    allow_failed_imports=False,
)
default_scope = "mmdet"

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="AtomicCheckpointHook", interval=1, max_keep_ckpts=3, save_best="coco/bbox_mAP", rule="greater"
    ),
    visualization=dict(type="DetVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
# A checkpoint must fit completely; after training the best weights are tested.
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])

env_cfg = dict(
    cudnn_benchmark=False,  # the sizes of pictures change from step to step
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
