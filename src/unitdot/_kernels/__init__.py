"""The compiled kernels: ``cpu``, and ``<instruction set>_<precision>`` for every one built."""
