"""Data: from pictures on disk to batches on the device.

`sources` brings foreign data sets into one layout, `importers` reads that, `frame` cuts the person out, `pack`
validates and writes shards (in blocks: `packing`; without copies: `likeness`), `manifest` describes them, `storage` and
`shard_cache` know where they lie; `pipeline` reads them as pairs, through a stream of `dali` or of
`opencv` (webdataset) that follows a `plan`; `search` finds pseudo labels before training, `pairs` while training;
`synthetic` draws people; `schema` spells the sample that all of them speak of.
"""
