# Real-HAT-GAN x4, second stage: against a discriminator (arXiv 2309.05239, real-world pictures).
# Expected: no number is reported, only pictures; the released weights are Real_HAT_GAN_SRx4.pth and _sharper.pth.
# Official option files: train_Real_HAT_GAN_SRx4_finetune_from_mse_model.yml.
# Cost: 8 GPUs; time not stated; after real-hat_8xb4-1m_dfo-x4.
#
#   mim train mmrepro-hat real-hat-gan_8xb4-400k_dfo-x4.py --launcher pytorch --gpus 8
_base_ = [
    "../_base_/models/hat.py",
    "../_base_/datasets/dfo.py",
    "../_base_/schedules/adam_gan_400k.py",
    "../_base_/hooks/real.py",
    "../_base_/default_runtime.py",
]

model = dict(
    type="RealHATGAN",
    data_preprocessor=dict(
        type="DegradingDataPreprocessor",
        degradation=dict(type="RealESRGANDegradation", scale=4, gt_size=256, gt_usm=False, queue_size=180),
    ),
    generator=dict(upscale=4),
    discriminator=dict(type="UNetDiscriminatorWithSpectralNorm", num_in_ch=3, num_feat=64, skip_connection=True),
    perceptual_loss=dict(
        type="RestorationPerceptualLoss",
        layer_weights=dict(conv1_2=0.1, conv2_2=0.1, conv3_4=1.0, conv4_4=1.0, conv5_4=1.0),
        perceptual_weight=1.0,
        pretrained="torchvision://vgg19",
    ),
    gan_loss=dict(type="RestorationGANLoss", loss_weight=0.1),
    train_cfg=dict(disc_steps=1, disc_init_steps=0),
)
default_hooks = dict(checkpoint=dict(interval=10_000, save_best=None, rule=None))
load_from = "work_dirs/real-hat_8xb4-1m_dfo-x4/iter_1000000.pth"

# There is no validation, in the tests neither.
tiny = {"val_dataloader": None, "val_evaluator": None, "test_dataloader": None, "test_evaluator": None}
tiny |= {"model.discriminator.num_feat": 4, "model.perceptual_loss.pretrained": None}
