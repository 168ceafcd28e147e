custom_imports = dict(imports=["mm_monodino_detr"], allow_failed_imports=False)
default_scope = "mmdet"

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # The authors report the best of all epochs on val, which chooses on what is reported; the last one is kept, too.
    checkpoint=dict(
        type="AtomicCheckpointHook",
        interval=1,
        max_keep_ckpts=2,
        save_best="kitti/Car_AP3D_R40_moderate",
        rule="greater",
    ),
    visualization=dict(type="DetVisualizationHook"),  # draws with `mim test ... --show-dir FOLDER`
)
# A checkpoint must fit completely; after training the best weights are tested.
custom_hooks = [
    dict(type="MonoDINOCheckpointHook"),
    dict(type="StrictLoadHook", paper="monodino_detr"),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
visualizer = dict(type="Mono3DLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")])

env_cfg = dict(
    cudnn_benchmark=True,  # every picture has the same size
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=444)  # the authors'
log_level = "INFO"
load_from = None
resume = False
