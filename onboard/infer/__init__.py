"""The model bundle and the runtimes that run it. Loads models; knows nothing of passes, cells or the queue."""
