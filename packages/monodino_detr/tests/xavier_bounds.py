"""Whether matrices were drawn xavier-uniform, for the tests of first weights."""

from torch import Tensor, nn

OTHERWISE = ("sampling_offsets", "attention_weights", "level_embed")


def assert_xavier_uniform(weight: Tensor, name: str = "") -> None:
    """Assert that a weight fills the range up to the root of 6 / (in + out); torch's own layers end at that of 1 / in.

    Args:
        weight: ``(out, in)``, or of a 1 x 1 convolution.
        name: what a failure says.
    """
    limit = (6 / (weight.size(0) + weight.size(1))) ** 0.5
    assert 0.9 * limit < weight.abs().max().item() <= limit, name


def assert_all_xavier_uniform(model: nn.Module, count: int) -> None:
    """Assert it of all matrices of a model, ``count`` of them, but those that deformable attention starts otherwise."""
    matrices = [(name, one) for name, one in model.named_parameters() if one.dim() == 2]
    drawn = [(name, one) for name, one in matrices if not any(part in name for part in OTHERWISE)]
    assert len(drawn) == count
    for name, weight in drawn:
        assert_xavier_uniform(weight, name)
