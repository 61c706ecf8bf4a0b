r"""`encodec-batch`: archives of audio to `.ecdc` files, shards or tables of codes, and back.

    SRC -> sources ---> plan ------> dispatcher ---> engine: workers, here or on a cluster -> DST
           (manifest)   (what is     (who does       (processes | cluster)
                         not there)   what, again
                                      if need be)

A job is one output: a file, or a part (a shard, or a piece of a table) of a fixed range of items.
Its name is known from the start and it appears whole, by a rename or as one object, so what is
there needs no second look, and a job that is done twice has the same bytes and one result.

    sources, manifest   which recordings there are
    store               reading and writing by fsspec: folders, buckets; whole or not at all
    plan                jobs, less those whose output is there
    worker              one model: decoders, queue, streams; does jobs
    coding              one recording: to `.ecdc`, to codes, to audio
    parts               shards and tables
    dispatcher          hands jobs to workers, and those of a lost worker to others
    processes, cluster  the workers: processes of this machine, or actors of a Ray cluster
    report, progress    what is said
    arguments, command  the command line

It knows nothing of HTTP. fsspec, pyarrow and Ray are imported where they are used.
"""
