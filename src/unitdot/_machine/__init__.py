"""Instruction set, threads, memory, and what the system allows."""
