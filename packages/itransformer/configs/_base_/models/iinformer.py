# iInformer: iTransformer, but only the queries that matter most attend, the others take the mean (ProbSparse).
# Like the official code it always normalises the windows.
_base_ = "./itransformer.py"

model = dict(attention=dict(_delete_=True, type="ProbSparseAttention", factor=1))
