# A warm start: of the checkpoint, everything must fit but the upsampler, whose keys the log lists.
custom_hooks = [
    dict(type="HATCheckpointHook", ignore=["upscale"]),
    dict(type="StrictLoadHook", paper="hat", ignore=["generator.upsample."]),
    # Evaluated and published are the averaged weights, decay 0.999, from the initial ones on.
    dict(type="BasicSREMAHook", momentum=0.001),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
