"""Group normalisation with a scalar weight and bias, and the leaky ReLU that follows it."""

from spt_kernels.norm_act.op import norm_act

__all__ = ["norm_act"]
