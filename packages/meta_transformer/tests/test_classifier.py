"""The classifier of any modality, its poolings, its head, and how batches are made."""

import pytest
import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mm_meta_transformer.models.data_preprocessor import SampleDataPreprocessor
from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.models.heads import MetaLinearHead
from mm_meta_transformer.models.meta_classifier import MetaTransformerClassifier
from mm_meta_transformer.models.pooling import needed_tokens, pool
from mm_meta_transformer.tokenizers.tokens import Tokens

ARCH = dict(embed_dims=16, depth=2, num_heads=2)


@MODELS.register_module()
class MetaToyTokenizer(BaseModule):
    """One linear layer; the first token counts as a class token."""

    def __init__(self, embed_dims, extra=0):
        super().__init__()
        self.fc, self.extra = torch.nn.Linear(3, embed_dims), extra

    def forward(self, inputs):
        info = {"prefix": 1}
        if self.extra:
            info["extra"] = inputs["values"][:, 0, : self.extra]
        return Tokens(self.fc(inputs["values"]), inputs.get("padding"), info)


def classifier(**settings):
    torch.manual_seed(0)
    encoder = dict(type="MetaTransformerEncoder", arch=ARCH, frozen=False)
    defaults = dict(tokenizer=dict(type="MetaToyTokenizer"), encoder=encoder)
    defaults["head"] = dict(type="MetaLinearHead", num_classes=3)
    model = MODELS.build(dict(type="MetaTransformerClassifier") | defaults | settings)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def labelled(*labels):
    return [DataSample().set_gt_label(label) for label in labels]


def test_poolings():
    tokens = torch.arange(24.0).view(2, 4, 3)
    padding = torch.tensor([[False, False, False, True], [False, False, False, False]])
    assert torch.equal(pool(tokens, None, 1, "cls"), tokens[:, 0])
    assert torch.equal(pool(tokens, None, 0, "first2"), tokens[:, :2].mean(1))
    assert torch.equal(pool(tokens, None, 1, "mean"), tokens[:, 1:].mean(1))
    assert torch.equal(pool(tokens, padding, 1, "mean")[0], tokens[0, 1:3].mean(0))
    assert torch.equal(pool(tokens, padding, 1, "mean")[1], tokens[1, 1:].mean(0))
    assert pool(tokens, None, 0, "flatten").shape == (2, 12)
    assert [needed_tokens(one) for one in ("cls", "first2", "mean", "flatten")] == [1, 2, None, None]
    with pytest.raises(ValueError, match="'flatten' needs the same number of tokens"):
        pool(tokens, padding, 0, "flatten")
    with pytest.raises(ValueError, match="pooling='max' is not known"):
        classifier(pooling="max")


@pytest.mark.parametrize("pooling", ["cls", "first2", "mean"])
def test_what_is_padded_changes_no_prediction(pooling):
    model, values = classifier(pooling=pooling, encoder_norm=1e-6, pooled_norm=1e-5), torch.randn(1, 4, 3)
    longer = {"values": torch.cat((values, torch.full((1, 2, 3), 9.0)), 1)}
    longer["padding"] = torch.tensor([[False] * 4 + [True] * 2])
    torch.testing.assert_close(model(longer), model({"values": values}), rtol=1e-5, atol=1e-5)


def test_values_that_bypass_the_encoder_stand_behind_the_feature():
    model = classifier(
        tokenizer=dict(type="MetaToyTokenizer", extra=2),
        head=dict(type="MetaLinearHead", num_classes=3, in_channels=18),
    )
    values = torch.randn(2, 4, 3)
    assert torch.equal(model.extract_feat({"values": values})[:, 16:], values[:, 0, :2])


def test_two_models_share_one_encoder():
    encoder = MetaTransformerEncoder(ARCH)
    one, other = classifier(encoder=encoder), classifier(encoder=encoder)
    assert one.encoder is other.encoder
    assert one.tokenizer is not other.tokenizer


def test_modes():
    model, inputs = classifier(), {"values": torch.randn(2, 4, 3)}
    assert model(inputs).shape == (2, 3)
    (loss,) = model(inputs, labelled(0, 2), mode="loss").values()
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(model(inputs), torch.tensor([0, 2])))
    samples = model(inputs, labelled(0, 2), mode="predict")
    torch.testing.assert_close(torch.stack([one.pred_score for one in samples]), model(inputs).softmax(1))
    assert [one.pred_label.item() for one in samples] == model(inputs).argmax(1).tolist()
    with pytest.raises(ValueError, match="needs data_samples"):
        model(inputs, mode="loss")
    with pytest.raises(ValueError, match="mode='train' is not known"):
        model(inputs, mode="train")


def test_one_logit_is_that_of_class_one():
    head, logits = MetaLinearHead(1, 4), torch.tensor([[2.0], [-1.0]])
    torch.testing.assert_close(head.scores(logits)[:, 1], logits[:, 0].sigmoid())
    torch.testing.assert_close(head.scores(logits).sum(1), torch.ones(2))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(head.loss_module(logits, head.targets(labelled(1, 0), logits)), expected)


def test_several_labels_are_questions_of_their_own():
    head, logits = MetaLinearHead(3, 4, multi_label=True), torch.randn(2, 3)
    targets = head.targets(labelled([0, 2], [1]), logits)
    assert targets.tolist() == [[1, 0, 1], [0, 1, 0]]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(head.loss_module(logits, targets), expected)
    torch.testing.assert_close(head.scores(logits), logits.sigmoid())


def test_mixed_labels_are_taken_as_they_are_and_none_is_an_error():
    head, logits = MetaLinearHead(2, 4), torch.zeros(1, 2)
    assert head.targets([DataSample().set_gt_score([0.3, 0.7])], logits)[0].tolist() == pytest.approx([0.3, 0.7])
    with pytest.raises(ValueError, match=r"samples \[1\] of the batch have no gt_label"):
        head.targets([*labelled(1), DataSample()], logits)


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        (dict(num_classes=1), (0, 7), r"sample 1 of the batch has the label \[7\], the head knows 0 to 1"),
        (dict(num_classes=3), (3, 0), r"sample 0 of the batch has the label \[3\], the head knows 0 to 2"),
        (dict(num_classes=3, multi_label=True), ([0, 1], [2, 5]), r"sample 1 of the batch has the label \[2, 5\]"),
        (dict(num_classes=3), (0, -1), r"sample 1 of the batch has the label \[-1\]"),
    ],
)
def test_labels_that_the_head_does_not_know_are_named(settings, labels, message):
    head = MetaLinearHead(in_channels=4, **settings)
    with pytest.raises(ValueError, match=message):
        head.loss(torch.zeros(2, 4), labelled(*labels))


def test_mixed_labels_of_some_samples_alone_are_named():
    samples = [DataSample().set_gt_label(0).set_gt_score([0.3, 0.7]), DataSample().set_gt_label(1)]
    for batch, number in ((samples, 1), (samples[::-1], 0)):
        with pytest.raises(ValueError, match=rf"samples \[{number}\] of the batch have no gt_score"):
            MetaLinearHead(2, 4).targets(batch, torch.zeros(2, 2))


def test_the_depth_of_a_parameter_is_that_of_its_block():
    model = classifier()
    names = ("tokenizer.fc.weight", "encoder.blocks.0.norm1.bias", "encoder.blocks.1.mlp.fc2.weight", "head.fc.bias")
    assert [model.get_layer_depth(name) for name in names] == [(0, 4), (1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize("collated", ["samples", "keys"])
def test_ragged_keys_are_padded_and_others_stacked(collated):
    samples = [{"ids": torch.ones(length), "age": torch.tensor([length])} for length in (3, 1)]
    inputs = samples if collated == "samples" else {key: [one[key] for one in samples] for key in samples[0]}
    batch = SampleDataPreprocessor(pad={"ids": 7})({"inputs": inputs, "data_samples": labelled(0, 1)})["inputs"]
    assert batch["ids"].tolist() == [[1, 1, 1], [1, 7, 7]]
    assert batch["padding"].tolist() == [[False] * 3, [False, True, True]]
    assert batch["age"].tolist() == [[3], [1]]


def test_a_second_ragged_key_has_a_padding_of_its_own():
    inputs = [{"nodes": torch.ones(2, 1), "edges": torch.ones(length, 4)} for length in (1, 3)]
    batch = SampleDataPreprocessor(pad={"nodes": 0, "edges": 0})({"inputs": inputs})["inputs"]
    assert batch["edges_padding"].tolist() == [[False, True, True], [False] * 3]
    assert "padding" not in batch  # no row was filled up, and attention needs no mask


def test_sizes_that_differ_are_an_error_that_names_the_samples():
    samples = [DataSample(metainfo={"sample_idx": number}).set_gt_label(0) for number in (8, 9)]
    preprocess = SampleDataPreprocessor()
    with pytest.raises(ValueError, match=r"ids is \(2,\) in sample 9 and \(3,\) in sample 8. Fix: .*pad="):
        preprocess({"inputs": [{"ids": torch.ones(3)}, {"ids": torch.ones(2)}], "data_samples": samples})
    with pytest.raises(ValueError, match=r"inputs is \(2,\) in sample 1 of the batch"):
        preprocess({"inputs": [torch.ones(3), torch.ones(2)]})
    with pytest.raises(ValueError, match="sample 9 has"):
        preprocess({"inputs": [{"ids": torch.ones(3)}, {"id": torch.ones(3)}], "data_samples": samples})
    with pytest.raises(ValueError, match="pad has words; the samples have ids"):
        SampleDataPreprocessor(pad={"words": 0})({"inputs": [{"ids": torch.ones(3)}]})


def test_a_classifier_is_built_on_the_meta_device():
    with torch.device("meta"):
        model = classifier(encoder=dict(type="MetaTransformerEncoder", arch="base"), pooled_norm=1e-5)
    assert isinstance(model, MetaTransformerClassifier)
    assert sum(one.numel() for one in model.encoder.parameters()) == 85_054_464
