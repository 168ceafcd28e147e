# Flowformer: attention of linear cost in the encoder.
_base_ = "./transformer.py"

model = dict(attention=dict(_delete_=True, type="FlowAttention"))
