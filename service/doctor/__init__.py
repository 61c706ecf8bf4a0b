"""`encodec-serve doctor`: what is wrong with a machine, before or after the service runs on it.

    command    the command line: which checks there are, what is printed, the exit status
    findings   what a check says
    choices    settings that contradict each other, variables that are none, and what settings
               name: the file of API keys, the store of jobs, the collector
    machine    system, port, folders, limits, memory, clock
    trial      the service itself without a socket: device, weights, backend, decoder, a real pass

Where the service checks something when it starts, its own code is used.
"""
