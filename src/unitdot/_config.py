"""What this build can do and what was chosen."""

from typing import Any, Literal, overload

from unitdot._kernels import cpu
from unitdot._machine import dispatch, threads
from unitdot._version import __version__


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show what this build can do and what was chosen at import.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default="stdout"
        Print the figures, or return them as a dict.

    Returns
    -------
    dict or None
        With ``mode="dicts"``: ``version``, ``instruction_set`` in use, ``instruction_sets`` that
        this build and machine share (best first; ``UNITDOT_ISA`` forces one), ``openmp`` (whether
        the build has it; without it all work is done by one thread) and ``threads`` that a large
        call would use now.

    Raises
    ------
    ValueError
        For another `mode`.

    Examples
    --------
    >>> import unitdot
    >>> config = unitdot.show_config(mode="dicts")
    >>> config["instruction_set"] in config["instruction_sets"]
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'mode is {mode!r}; expected "stdout" or "dicts"')
    config: dict[str, Any] = {
        "version": __version__,
        "instruction_set": dispatch.active_isa(),
        "instruction_sets": dispatch.available_isas(),
        "openmp": cpu.OPENMP,
        "threads": threads.available_threads(),
    }
    if mode == "dicts":
        return config
    print(
        f"unitdot {config['version']}\n"
        f"instruction set  {config['instruction_set']} "
        f"(offered: {', '.join(config['instruction_sets'])})\n"
        f"OpenMP           {'yes' if config['openmp'] else 'no: all work is done by one thread'}\n"
        f"threads          {config['threads']}"
    )
    return None
