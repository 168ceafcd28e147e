"""What backbones for dense prediction share: a plain ViT beside a convolutional pyramid, and how such a network learns.

The modules need mmcv, :mod:`mmrepro.dense.seg_shapes` mmsegmentation; papers import them explicitly. Importing this
package, or :mod:`mmrepro`, imports none of them.
"""
