# Informer: ProbSparse attention, and a sequence halved between the encoder's layers.
_base_ = "./transformer.py"

model = dict(attention=dict(_delete_=True, type="ProbSparseAttention", factor=1), distil=True)
