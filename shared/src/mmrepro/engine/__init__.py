"""Training and testing: entry points, loops that resume bit-equal, CPU distributed and bf16 support, hooks.

Importing this package costs nothing, so that ``train.py -h`` answers at once. ``mmrepro.engine.components`` registers
every loop, hook, sampler and wrapper with mmengine.
"""
