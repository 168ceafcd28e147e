# iReformer: iTransformer, but tokens attend within buckets of similar ones (Reformer's hashing).
# Like the official code it always normalises the windows.
_base_ = "./itransformer.py"

model = dict(attention=dict(_delete_=True, type="LSHAttention"))
