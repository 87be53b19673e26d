"""Benchmarks: each op against its definition in eager torch and against the published way of computing it."""
