"""`opoi agent check`: proves that an agent over HTTP keeps the contract, clause by clause."""
