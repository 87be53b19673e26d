"""The quality benchmark: the paper's ablations, references, ceilings and our own preset, by one command.

Everything is judged on synthetic people that no network has seen, for whom the true picture in the target pose exists.
`variants` says what is compared, `judges` who judges it, `scores` by what; `run` trains and scores what is missing, so
that a broken run goes on where it stopped, and `table` writes down what came out.
"""
