"""Gram matrices of features inside soft regions."""

from spt_kernels.semantic_gram.op import semantic_gram

__all__ = ["semantic_gram"]
