custom_imports = dict(imports=["mm_vit_comer"], allow_failed_imports=False)
default_scope = "mmseg"

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="AtomicCheckpointHook",
        by_epoch=False,
        interval=8000,
        max_keep_ckpts=2,
        save_best="mIoU",
        rule="greater",
    ),
    visualization=dict(type="SegVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
# Every label map is looked at before the first step (`limit` takes part of a large data set).
# A checkpoint must fit completely, and be of this variant; after training the best weights are tested.
custom_hooks = [
    dict(type="LabelCheckHook"),
    dict(type="ViTCoMerCheckpointHook"),
    dict(type="StrictLoadHook", paper="vit_comer"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
log_processor = dict(by_epoch=False)
tta_model = dict(type="SegTTAModel")  # `mim test ... --tta`: the mean probability over the views of tta_pipeline
visualizer = dict(type="SegLocalVisualizer", name="visualizer", vis_backends=[dict(type="LocalVisBackend")])

env_cfg = dict(
    cudnn_benchmark=True,  # pictures are cut to one size in training, windows to one in the test
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=2023)  # the official one
log_level = "INFO"
load_from = None
resume = False
