"""`opoi demo`: the whole pipeline on one machine, with simulated traffic and a simulated expert."""
