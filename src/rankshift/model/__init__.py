"""A frozen base, trainable adapters of every rank over it, and sampling from all of them."""
