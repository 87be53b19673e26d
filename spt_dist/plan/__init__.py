"""What a training run will need before it starts: memory, time, batch, cost, and how it scales.

`count` runs the real phases on fake tensors, which have shapes and lifetimes but no numbers; `trace` writes down every
operation and what is alive. `memory`, `network` and `cost` turn that into bytes and seconds for the devices of `gpus`;
`calibrate` measures the processor at hand, and `check` compares the plan with a real step on it. `table` and `curve`
show what `planner` puts together.
"""
