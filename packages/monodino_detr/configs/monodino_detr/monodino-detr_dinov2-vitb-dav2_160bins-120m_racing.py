# Not a row of the paper: the official settings for racing data, monodinodetr_custom.yaml's 160 depth bins up to 120 m,
# for frames of your own in KITTI's layout. There the loss keeps 80 bins and 60 m for such a network and so learns wrong
# bins; here it follows the model. The authors' racing data are not public. Copy it together with
# monodino-detr_own-kitti.py, which it changes; change what stands between the lines there and here, then
#
#   mim train mmrepro-monodino-detr path/to/your_copy.py
_base_ = "monodino-detr_own-kitti.py"

# ----------------------------------------------------------------------------------------------------------------------
# num_depth_bins, depth_max and size of monodino-detr_own-kitti.py have no effect here. Its val_evaluator says at which
# overlap classes other than Car count, and how to set it.
num_depth_bins, depth_max = 160, 120.0  # bins of depth, and where they end in metres
size = (1280, 384)  # width and height that pictures are scaled and cut to
# ----------------------------------------------------------------------------------------------------------------------

model = dict(depth_predictor=dict(num_depth_bins=num_depth_bins, depth_max=depth_max))
load = [dict(type="LoadImageFromFile", color_type="color", imdecode_backend="pillow")]
augment = [
    dict(type="LoadKittiAnnotations3D", depth_range=(2.0, depth_max)),
    dict(type="KittiPhotometricDistort", wrap_uint8=False),
    dict(type="KittiFlipCropAffine", size=size, flip_prob=0.5, crop_prob=0.5, scale=0.05, shift=0.05),
]
fit = [dict(type="KittiFlipCropAffine", size=size, flip_prob=0.0, crop_prob=0.0)]
pack = [dict(type="PackMono3DInputs")]
train_dataloader = dict(dataset=dict(pipeline=[*load, *augment, *pack]))
val_dataloader = dict(dataset=dict(pipeline=[*load, *fit, *pack]))
visualizer = dict(reach=depth_max * 7 / 6)
test_dataloader = val_dataloader
del load, augment, fit, pack
