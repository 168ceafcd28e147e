default_scope = "mmengine"

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=100),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2, save_best="mse", rule="less"),
)
custom_hooks = [
    dict(type="ITransformerCheckpointHook"),
    # Time features become tokens, which no shape shows: those of the checkpoint and of the data must be the same.
    dict(type="StrictLoadHook", paper="itransformer", agree=["time_features", "freq"]),
    dict(type="ResumableEarlyStoppingHook", monitor="mse", rule="less", min_delta=0, patience=3, strict=True),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]

val_evaluator = dict(type="ForecastMetric")
test_evaluator = dict(type="ForecastMetric")

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=2023)
log_level = "INFO"
load_from = None
resume = False
