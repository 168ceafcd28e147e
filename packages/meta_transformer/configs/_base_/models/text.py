# Word pieces of BERT's uncased vocabulary, embedded, with a class token, through the base encoder; all is trained.
_base_ = "./frozen_encoder.py"

model = dict(
    type="MetaTransformerClassifier",
    tokenizer=dict(type="TextTokenizer", vocab_size=30522, max_length=128, class_token=True, dropout=0.1),
    encoder=dict(frozen=False),
    pooling="cls",
    pooled_norm=1e-5,
    head=dict(type="MetaLinearHead", dropout=0.1),
    data_preprocessor=dict(type="SampleDataPreprocessor", pad=dict(ids=0)),
)
