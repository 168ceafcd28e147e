# Meta-Transformer (arXiv 2307.10802), audio, base encoder frozen, Speech Commands V2: accuracy 78.3 (official README @
# b08a2be, 1.1 M parameters trained; the best epoch on val, reported on test). As released: trained are the kernel of
# the patches without its bias, the position table and the head with its norm; the class and distillation tokens are
# never read. Cost: 4 GPUs; time not stated. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_frozen_4xb32-200e_speechcommands-224mel.py --launcher pytorch --gpus 4
_base_ = [
    "../_base_/models/audio.py",
    "../_base_/datasets/speech_commands.py",
    "../_base_/schedules/adam_audio_200e.py",
    "../_base_/default_runtime.py",
]
model = dict(frozen=("tokenizer.proj.bias", "encoder_norm."))
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))
custom_hooks = [*_base_.custom_hooks[:2], dict(type="LoadBestHook"), *_base_.custom_hooks[2:]]
