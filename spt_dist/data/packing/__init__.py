"""Packing in two steps, so that it streams, is shared among processes and goes on where it was broken off.

`blocks` reads, validates, frames and encodes some pictures at a time and keeps each block as a file of its own in a
working folder; any process of any machine may do it, in any order. `ledger` is what is remembered of all samples, some
hundred bytes each. `copies` finds pictures that are in the data twice. `deal` cuts the samples into shards, in an order
that only their ids decide. `run` puts them together; `pack` is the door.
"""
