"""Proofs of the kernels that need no GPU: what they move, who writes what, and what they compile to."""
