"""The one-machine stack: what it is made of, how it starts, stops and is asked."""
