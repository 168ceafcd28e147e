# iFlowformer: iTransformer, but attention of linear cost by conservation of flow (Flowformer).
# Like the official code it always normalises the windows.
_base_ = "./itransformer.py"

model = dict(attention=dict(_delete_=True, type="FlowAttention"))
