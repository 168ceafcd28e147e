# Table rows, 12 categorical columns of Adult and one continuous one, through the frozen base encoder. All encoded
# tokens side by side and the standardised value behind them go to one linear layer with one logit.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="TabularTokenizer", num_codes=486, num_columns=12, num_continuous=1, dropout=0.1),
    pooling="flatten",
    head=dict(type="MetaLinearHead", num_classes=1, in_channels=12 * 768 + 1),
)
