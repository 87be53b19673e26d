"""Gram matrices of features inside regions, and the style loss made of them."""

from spt_kernels.semantic_gram.op import semantic_gram, semantic_gram_soft
from spt_kernels.semantic_gram.style import semantic_style_loss

__all__ = ["semantic_gram", "semantic_gram_soft", "semantic_style_loss"]
