custom_imports = dict(imports=["mm_meta_transformer"], allow_failed_imports=False)
default_scope = "mmpretrain"

default_hooks = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="AtomicCheckpointHook", interval=1, max_keep_ckpts=2),
    repairs=dict(type="RepairCountHook"),  # counts them; not below, for some configs replace that list
)
# A checkpoint must fit completely; no shape shows which word pieces, or which codes of a table, it was trained with.
custom_hooks = [
    dict(type="MetaTransformerCheckpointHook"),
    dict(type="StrictLoadHook", paper="meta_transformer", agree=["pieces", "table"]),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0)
log_level = "INFO"
load_from = None
resume = False
