"""The networks: H_S and H_A, the discriminators, the pose detector, the frozen features, and their files."""
