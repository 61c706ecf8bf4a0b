"""The networks of the paper as plain torch modules: slow, clear, differentiable.

Module nesting gives the parameter names of the reference checkpoints, so a published
state dict loads as it is.
"""
