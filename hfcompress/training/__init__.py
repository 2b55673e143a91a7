"""Training: `DistillationTrainer`, its arguments, losses, sampler and checkpoints.

Nothing is imported here, so that a reader of one module (a manifest, a loss) pays for that module only.
"""
