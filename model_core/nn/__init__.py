"""The networks of the paper as plain torch modules: slow, clear, differentiable.

The nesting of the modules gives the parameter names of the reference checkpoints, so a published
state dict loads unchanged.
"""
