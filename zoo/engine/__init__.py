"""Training: the compiled step behind `fit`, what feeds it, replicas, checkpoints."""
