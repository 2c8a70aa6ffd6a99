"""`opoi demo`: the whole way on one machine, with simulated traffic and a simulated expert."""
