"""Several replicas of the service: behind the proxy of `deploy`, and on Ray Serve."""
