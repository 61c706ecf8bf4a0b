"""The networks behind the calls: permits, the batching queue, the models kept warm."""
