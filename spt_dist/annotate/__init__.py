"""From a raw photo to what the networks need of it: the joints and the parsing map of the person in it.

`annotation` says what is found and who finds it: `own`, our own network, or models that users bring. Those are declared
in a TOML (`declaration`), opened in ONNX Runtime (`backend`) and joined by `onnx_annotator`: `crop` brings a box of the
photo to a model's input and its answers back, `decode` reads poses from them. `choice` takes the one that is asked for,
`folder` annotates many photos, `sheet` shows them, `scoring` compares them with what is known.
"""
