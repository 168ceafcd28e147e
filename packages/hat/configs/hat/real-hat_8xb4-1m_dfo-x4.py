# Real-HAT x4, first stage: absolute errors against sharpened pictures (arXiv 2309.05239, real-world pictures).
# Expected: no number is reported; real-hat-gan_8xb4-400k_dfo-x4 starts from it. Officially called the MSE model.
# Official option files: train_Real_HAT_SRx4_mse_model.yml.
# Cost: 8 GPUs; time not stated.
#
#   mim train mmrepro-hat real-hat_8xb4-1m_dfo-x4.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/dfo.py",
    "../_base_/schedules/adam_1m.py",
    "../_base_/hooks/real.py",
    "../_base_/default_runtime.py",
]

model = dict(
    data_preprocessor=dict(
        type="DegradingDataPreprocessor",
        degradation=dict(type="RealESRGANDegradation", scale=4, gt_size=256, gt_usm=True, queue_size=180),
    ),
    generator=dict(upscale=4),
)
default_hooks = dict(checkpoint=dict(interval=10_000, save_best=None, rule=None))

# There is no validation, in the tests neither.
tiny = {"val_dataloader": None, "val_evaluator": None, "test_dataloader": None, "test_evaluator": None}
