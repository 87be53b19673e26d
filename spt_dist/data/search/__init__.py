"""Pseudo pairs found before training, by the paper's criterion: whose parsing map fits the source's, part by part?

    S* = argmin_S  sum_j || B_j(p) * S - f_j(B_j(p_s) * S_s) ||^2

`criterion` is that sum for pairs; `people` is what the search keeps of everybody; `prune` ranks all candidates by one
matrix product, so that the criterion is asked of a few; `blocks` searches a block of sources; `index` is the parquet
file, its parts and its refusals; `run` puts them together, in this process or (`distributed`) on Ray. `recall` compares
with the exhaustive search, `cost` says what a million samples cost, `sheet` draws what was found, and `found` is what
training takes.
"""
