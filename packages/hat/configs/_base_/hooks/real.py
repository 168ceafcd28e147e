# For real pictures there is no validation, so no best checkpoint. The generator must fit, a discriminator may lack.
custom_hooks = [
    dict(type="HATCheckpointHook"),
    dict(type="StrictLoadHook", paper="hat", ignore=["discriminator."]),
    # Evaluated and published are the averaged weights, decay 0.999, from the initial ones on.
    dict(type="BasicSREMAHook", momentum=0.001),
    dict(type="PairPoolHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
