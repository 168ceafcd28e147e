"""Losses: what is weighted, what gets gradients, what is saved, and what is refused."""

import pytest
import torch
import torchvision

from mm_hat.models.losses import RestorationGANLoss, RestorationL1Loss, RestorationPerceptualLoss, VGG19Features


def small_loss(**kwargs):
    torch.manual_seed(0)
    loss = RestorationPerceptualLoss({"conv1_2": 0.5, "conv2_1": 2.0}, pretrained=None, **kwargs)
    loss.vgg.load({name: 0.1 * torch.randn_like(value) for name, value in ours(loss).items()}, "drawn")
    return loss


def ours(loss):
    return {f"{name}.{leaf}": value for name, conv in loss.vgg.convs.items() for leaf, value in conv.named_buffers()}


def test_l1_is_the_mean_over_everything_times_its_weight():
    assert RestorationL1Loss(0.5)(torch.full((2, 3, 4, 4), 3.0), torch.ones(2, 3, 4, 4)) == 1.0


def test_l1_refuses_what_it_could_broadcast():
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\), the ground truth \(1, 3, 8, 8\).*upscale"):
        RestorationL1Loss()(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 8, 8))


def test_only_the_generators_gan_loss_is_weighted():
    loss, logits = RestorationGANLoss(0.1), torch.randn(2, 1, 4, 4)
    assert torch.allclose(loss(logits, True), 0.1 * loss(logits, True, is_disc=True))
    assert torch.allclose(loss(logits, False, is_disc=True), loss(-logits, True, is_disc=True))


def test_the_perceptual_loss_is_the_weighted_sum_of_its_layers():
    loss, (pred, target) = small_loss(perceptual_weight=3.0), torch.rand(2, 1, 3, 16, 16)
    layers = loss.by_layer(pred, target)
    assert list(layers) == ["conv1_2", "conv2_1"]
    assert torch.allclose(loss(pred, target), 3 * (0.5 * layers["conv1_2"] + 2 * layers["conv2_1"]))


def test_the_perceptual_loss_of_equal_pictures_is_zero_and_the_target_gets_no_gradient():
    loss = small_loss()
    pred, target = torch.rand(2, 1, 3, 16, 16).requires_grad_().unbind()
    assert loss(pred, pred) == 0
    leaf = torch.rand(1, 3, 16, 16, requires_grad=True)
    assert not loss(target.detach(), leaf).requires_grad
    loss(leaf, target.detach()).backward()
    assert leaf.grad.abs().sum() > 0


def test_the_frozen_network_is_neither_trained_nor_saved_but_moves_with_the_model():
    loss = small_loss()
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert loss.double().vgg.convs["conv1_1"].weight.dtype == torch.float64


def test_features_are_those_of_torchvisions_network_before_the_relu():
    with torch.device("meta"):
        reference = torchvision.models.vgg19(init_weights=False).features[:12]
    reference = reference.to_empty(device="cpu")
    torch.manual_seed(0)
    for weight in reference.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    ours = VGG19Features(["conv1_2", "conv3_1"])
    ours.load({f"features.{key}": value for key, value in reference.state_dict().items()}, "torchvision")
    image = torch.rand(1, 3, 16, 16)
    x, features = (image - ours.mean) / ours.std, ours(image)
    for i, layer in enumerate(reference):
        x = layer(x.clone())
        if i in (2, 10):
            assert torch.allclose(features[{2: "conv1_2", 10: "conv3_1"}[i]], x, atol=1e-5)


def test_weights_that_are_not_vgg19s_are_refused_by_name():
    loss = small_loss()
    state = ours(loss)
    del state["conv1_2.bias"]
    with pytest.raises(ValueError, match=r"other.pth: conv1_2.bias \(features.2.bias\).*\(64,\), found nothing"):
        loss.vgg.load(state, "other.pth")


def test_weights_are_read_from_a_file(tmp_path):
    loss = small_loss()
    torch.save(ours(loss), tmp_path / "vgg.pth")
    again = RestorationPerceptualLoss(loss.layer_weights, pretrained=str(tmp_path / "vgg.pth"))
    again(*torch.rand(2, 1, 3, 32, 32))  # at first use
    assert all(torch.equal(value, ours(again)[name]) for name, value in ours(loss).items())


def test_unknown_layers_and_pictures_too_small_for_the_poolings_are_refused():
    with pytest.raises(ValueError, match="conv6_1"):
        VGG19Features(["conv6_1"])
    with pytest.raises(ValueError, match=r"at least 16 px, got shape \(1, 3, 8, 32\)"):
        VGG19Features(["conv5_1"])(torch.rand(1, 3, 8, 32))
