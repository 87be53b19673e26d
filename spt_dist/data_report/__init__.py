"""What is in a folder of shards, for people: a page that says what to look at before a training run pays for it.

Every sample is read once and reduced to about 1 kB of facts (`facts`). From them come shares of labels and joints
(`shares`), poses and who has no near one (`poses`), pictures that look alike and splits that overlap (`alike`);
`rejected` adds what `spt pack` and `spt import` left out. `advice` turns the numbers into what a person should do,
`looking` puts all of it into one tree, and `page` draws it.
"""
