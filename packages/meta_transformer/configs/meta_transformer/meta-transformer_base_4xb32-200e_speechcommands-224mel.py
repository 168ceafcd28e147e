# Meta-Transformer (arXiv 2307.10802), audio, base encoder tuned, Speech Commands V2: accuracy 97.0 (official README @
# b08a2be, 86.3 M parameters; the best epoch on val, reported on test).
# The released code freezes the encoder and has no other recipe: the one of the frozen row is used.
# Cost: 4 GPUs; time not stated. Needs the encoder's weights.
#
#   mim train mmrepro-meta-transformer meta-transformer_base_4xb32-200e_speechcommands-224mel.py --launcher pytorch --gpus 4
_base_ = [
    "../_base_/models/audio.py",
    "../_base_/datasets/speech_commands.py",
    "../_base_/schedules/adam_audio_200e.py",
    "../_base_/default_runtime.py",
]
model = dict(encoder=dict(frozen=False))
default_hooks = dict(checkpoint=dict(save_best="accuracy/top1", rule="greater"))
custom_hooks = [*_base_.custom_hooks[:2], dict(type="LoadBestHook"), *_base_.custom_hooks[2:]]
