"""The field's evaluations by name: what each lineage computes, word by word, and what we recommend.

A protocol is a table of definitions (`table`); a definition turns pictures into a `Statistic`, a number that can be
computed again from any resample of them, so that everything here has an interval. `scoring` runs protocols side by side
and lists what lacks a file; `page` writes the table for people.
"""
