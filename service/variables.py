"""Variables of the environment that begin like settings, but are not settings: a misspelt name does
nothing, and nobody else would say so."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from .settings import ENV_PREFIX, Settings, variable

_OF_OTHERS = {
    # Compose and HAProxy
    "ENCODEC_CUDA_PORT",
    "ENCODEC_PROXY_ADMIN_PORT",
    "ENCODEC_REPLICAS",
    "ENCODEC_REPLICAS_AT",
    "ENCODEC_REPLICA_CPUS",
    "ENCODEC_STOP_GRACE",
    # `service.cluster`
    "ENCODEC_MAX_REPLICAS",
    "ENCODEC_MIN_REPLICAS",
    "ENCODEC_RAY_ADDRESS",
    "ENCODEC_REPLICA_AUDIO_SECONDS",
    "ENCODEC_REPLICA_GPUS",
    "ENCODEC_REPLICA_REQUESTS",
}


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Their names, each with what to do about it."""
    known = {variable(name) for name in Settings.model_fields} | _OF_OTHERS
    found = {}
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX) or name in known:
            continue
        found[name] = "unset it"
        if re.search(r"_SERVICE_(HOST|PORT)|_PORT_[0-9]+_", name):
            found[name] = "Kubernetes sets it: enableServiceLinks: false"
        elif close := get_close_matches(name, known, 1):
            found[name] = f"is it {close[0]}?"
    return found
