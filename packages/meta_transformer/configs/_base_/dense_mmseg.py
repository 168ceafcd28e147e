# Runtime of the segmentors: mmsegmentation's scope, steps instead of epochs.
custom_imports = dict(
    imports=["mm_meta_transformer", "mm_meta_transformer.dense", "mmrepro.dense.seg_shapes"],
    allow_failed_imports=False,
)
default_scope = "mmseg"

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="AtomicCheckpointHook", by_epoch=False, interval=16_000, max_keep_ckpts=2, save_best="mIoU", rule="greater"
    ),
    visualization=dict(type="SegVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
# A checkpoint must fit completely; after training the best weights are tested.
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
log_processor = dict(by_epoch=False)
visualizer = dict(type="SegLocalVisualizer", name="visualizer", vis_backends=[dict(type="LocalVisBackend")])

env_cfg = dict(
    cudnn_benchmark=True,  # pictures are cut to one size in training, windows to one in the test
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
