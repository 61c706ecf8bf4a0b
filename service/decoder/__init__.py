r"""Decoding uploads outside the server: FFmpeg's parsers only ever run in confined child processes.

    server ------ commands -----> fork server --fork--> child
      | \__ upload: temporary file ________________________/ |
      |_____ socket: request in, blocks of samples out ______|

Each upload gets a child of its own, which ends after it. A child that crashes is an
`InvalidAudioError` of that upload and nothing else. The children are forked from a process that
has everything imported and tried out, so one starts in milliseconds. A fork server that dies or
hangs is replaced, and its uploads are decoded again from the beginning.

    pool          hands out decoders, keeps a child forked ahead, replaces a lost fork server
    decoder       one upload as the server sees it
    fork_client   the server's end of the fork server and of each child
    fork_server   the process that forks
    child         one decoding child, from its fork to its end
    sandbox       what a child may use
    system_calls  the system calls it may make
    protocol      what these processes say to each other
    spool         how much disk uploads take

Why not the fork server of `multiprocessing`? Tried on Python 3.11: it hands the server's whole
environment, API key included, to every child; each child imports the server's main module again
(190 ms instead of 2) and inherits a dozen descriptors; SIGTERM ends it; nothing tells that it has
died; starting a child blocks the event loop for as long as it hangs, and its children outlive it.

This package imports nothing here: the fork server is one of its modules, and what it imports is
copied into every child.
"""
