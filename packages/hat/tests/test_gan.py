"""The GAN training step: who learns from what, when, and through mmengine's runner."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.structures import BaseDataElement
from torch import nn

from mm_hat.models.losses import RestorationPerceptualLoss
from mm_hat.models.real_hat_gan import RealHATGAN

TINY = dict(
    type="HAT",
    img_size=8,
    window_size=4,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    squeeze_factor=6,
    drop_path_rate=0.0,
    upscale=2,
)
LOG = ["loss", "loss_pix", "loss_gan", "loss_d_real", "d_real", "loss_d_fake", "d_fake"]


def tiny(**kwargs):
    torch.manual_seed(0)
    return RealHATGAN(
        dict(TINY),
        dict(type="UNetDiscriminatorWithSpectralNorm", num_in_ch=3, num_feat=4),
        pixel_loss=dict(type="RestorationL1Loss"),
        **kwargs,
    ).train()


def wrappers_of(model, lr=1e-3, **kwargs):
    part = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=lr), **kwargs)
    return build_optim_wrapper(
        model, dict(constructor="MultiOptimWrapperConstructor", generator=dict(part), discriminator=dict(part))
    )


def batch(sharp=None):
    random = torch.Generator().manual_seed(0)
    gt = torch.rand(2, 3, 16, 16, generator=random)
    samples = [BaseDataElement(gt_img=picture) for picture in gt]
    for sample in samples if sharp is not None else ():
        sample.gt_usm = sample.gt_img + sharp
    return dict(inputs=gt[..., ::2, ::2].contiguous(), data_samples=samples)


@pytest.fixture(autouse=True)
def _first_iteration():
    MessageHub.get_current_instance().update_info("iter", 0)


def changed(model, before):
    now = model.state_dict()
    return {key.split(".")[0] for key, value in before.items() if not torch.equal(value, now[key])}


def test_one_step_trains_both_and_logs_every_loss():
    model = tiny()
    before = copy.deepcopy(model.state_dict())
    log = model.train_step(batch(), wrappers_of(model))
    assert list(log) == LOG
    assert torch.allclose(log["loss"], log["loss_pix"] + log["loss_gan"])
    assert changed(model, before) == {"generator", "discriminator"}
    assert all(weight.requires_grad for weight in model.discriminator.parameters() if weight.is_leaf)


def test_the_generators_step_leaves_no_gradient_in_the_discriminator(monkeypatch):
    model, seen = tiny(), []

    def look(*_):
        seen.extend(weight.grad for weight in model.discriminator.parameters())
        return {}

    monkeypatch.setattr(model, "_discriminator_step", look)
    before = copy.deepcopy(model.state_dict())
    model.train_step(batch(), wrappers_of(model))
    assert seen
    assert all(gradient is None for gradient in seen)
    assert "generator" in changed(model, before)


def test_the_discriminators_losses_leave_no_gradient_in_the_generator():
    model = tiny(train_cfg=dict(disc_init_steps=10))
    before = copy.deepcopy(model.state_dict())
    log = model.train_step(batch(), wrappers_of(model))
    assert list(log) == LOG[3:]
    assert changed(model, before) == {"discriminator"}
    assert all(weight.grad is None for weight in model.generator.parameters())


def test_the_generator_learns_in_every_second_iteration_if_told_so():
    model = tiny(train_cfg=dict(disc_steps=2))
    turns = []
    for i in range(4):
        MessageHub.get_current_instance().update_info("iter", i)
        turns.append("loss_pix" in model.train_step(batch(), wrappers_of(model)))
    assert turns == [False, True, False, True]


def test_out_of_its_turn_the_generator_keeps_no_graph(monkeypatch):
    model, seen = tiny(train_cfg=dict(disc_steps=2)), []
    forward = model.generator.forward
    monkeypatch.setattr(model.generator, "forward", lambda inputs: seen.append(forward(inputs)) or seen[-1])
    for i in range(2):
        MessageHub.get_current_instance().update_info("iter", i)
        model.train_step(batch(), wrappers_of(model))
    assert [output.requires_grad for output in seen] == [False, True]


def test_no_gradient_is_left_for_a_checkpoint_to_keep():
    model = tiny()
    model.train_step(batch(), wrappers_of(model))
    assert all(weight.grad is None for weight in model.parameters())


def test_spectral_norm_makes_one_power_iteration_in_each_of_three_passes():
    model, alone = tiny(), tiny().discriminator.train()
    model.train_step(batch(), wrappers_of(model, lr=0.0))
    for _ in range(3):
        alone(torch.rand(1, 3, 8, 8))
    assert torch.allclose(model.discriminator.conv1.weight_u, alone.conv1.weight_u, atol=1e-6)


def test_the_generator_is_compared_with_the_sharp_truth_and_the_discriminator_sees_the_other():
    model, seen = tiny(), []
    model.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    plain = model.loss(**batch())["loss_pix"]
    sharp = model.loss(**batch(sharp=10.0))["loss_pix"]
    assert sharp > plain + 5
    seen.clear()
    data = batch(sharp=10.0)
    model.train_step(data, wrappers_of(model))
    assert torch.equal(seen[1], torch.stack([sample.gt_img for sample in data["data_samples"]]))


def test_the_perceptual_loss_takes_part_and_is_not_saved():
    model = tiny(perceptual_loss=dict(type="RestorationPerceptualLoss", pretrained=None))
    assert isinstance(model.perceptual_loss, RestorationPerceptualLoss)
    assert not [key for key in model.state_dict() if "perceptual" in key]
    assert {key.split(".")[0] for key in model.state_dict()} == {"generator", "discriminator"}


def test_prediction_needs_no_discriminator():
    model = RealHATGAN(dict(TINY)).eval()
    assert model.predict(torch.rand(1, 3, 5, 8))[0].output.pred_img.shape == (3, 10, 16)
    with pytest.raises(ValueError, match="no discriminator"):
        model.loss(**batch())


def test_wrong_optimizers_and_settings_are_refused():
    model = tiny()
    single = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="two optimizers"):
        model.train_step(batch(), single)
    with pytest.raises(ValueError, match="cannot be accumulated"):
        model.train_step(batch(), wrappers_of(model, accumulative_counts=2))
    with pytest.raises(ValueError, match="not disc_step"):
        tiny(train_cfg=dict(disc_step=2))
    with pytest.raises(ValueError, match="disc_steps=0, expected a number of iterations, at least 1"):
        tiny(train_cfg=dict(disc_steps=0))
    with pytest.raises(ValueError, match=r"disc_init_steps=1\.5, expected"):
        tiny(train_cfg=dict(disc_init_steps=1.5))
    with pytest.raises(ValueError, match=r"optim_wrapper.critic: the model has no such part, it has .*generator"):
        build_optim_wrapper(model, dict(constructor="MultiOptimWrapperConstructor", critic=dict(optimizer={})))
    with pytest.raises(ValueError, match="should name parts"):
        build_optim_wrapper(nn.Linear(1, 1), dict(constructor="MultiOptimWrapperConstructor", generator="Adam"))
