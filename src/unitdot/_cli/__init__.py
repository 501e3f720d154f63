"""The command line, its files and what it writes."""
