"""Foreign data sets in, the project's own folder out: what `spt import` is made of.

`layouts` finds a source's photos, annotations and pair lists, `names` reads what a picture's name says of its person,
`keypoint_files` reads poses and `orders` puts their joints into our order, `label_maps` reads parsing maps and `merges`
brings their labels to our ten, `frames` brings joints to the photo's pixels. `run` joins all of it, `folder` writes,
`account` says what became of every row.
"""
