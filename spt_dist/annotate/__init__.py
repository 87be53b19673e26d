"""From a raw photo to what the networks need of it: the joints and the parsing map of the person in it.

`annotation` says what is found and who finds it.
"""
