"""`encodec-serve doctor`: what is wrong with a machine, before or after the service runs on it.

    command    the command line: which checks there are, what is printed, the exit status
    findings   what a check says
    choices    settings that contradict each other, and variables that are none
    machine    system, port, folders, limits, memory, clock
    trial      the service itself without a socket: device, weights, backend, decoder, a real pass

Where the service checks something when it starts, its own code is used.
"""
