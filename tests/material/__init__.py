"""Pictures to try things on, made by functions of a random stream; benchmarks draw them, too."""
