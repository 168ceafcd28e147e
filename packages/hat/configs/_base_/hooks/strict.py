# A checkpoint must fit completely; after training the best weights are tested.
custom_hooks = [
    dict(type="HATCheckpointHook"),
    dict(type="StrictLoadHook", paper="hat"),
    # Evaluated and published are the averaged weights, decay 0.999, from the initial ones on.
    dict(type="BasicSREMAHook", momentum=0.001),
    dict(type="LoadBestHook"),
    dict(type="NonFiniteGuardHook"),
    dict(type="ProgressHook"),
]
