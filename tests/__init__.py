"""The tests of unitdot: the numerical contract clause by clause, the API, bad input, threads."""
