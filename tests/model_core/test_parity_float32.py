"""In float32 all codes but near ties are the reference's, the audio within 1e-4 of the peak."""

import pytest

from tests.peers import (
    LENGTHS,
    NAMES,
    Peers,
    differing,
    distance_gap,
    latents,
    reference_decodes,
    signal,
)

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
NEAR_TIE = 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_codes_over_the_whole_set(peers: Peers, name: str) -> None:
    pair = peers.pair(name)
    rate, channels = pair.ours.sample_rate, pair.ours.channels
    for model in (pair.reference, pair.ours):
        model.set_target_bandwidth(pair.ours.target_bandwidths[-1])
    total = equal = 0
    for seed, samples in enumerate([*LENGTHS[name], 30 * rate]):
        x = signal(channels, samples, rate, seed)[None]
        theirs, ours = pair.reference.encode(x), pair.ours.encode(x)
        for (a, _), (b, _) in zip(ours, theirs, strict=True):
            total += a.numel()
            equal += int((a == b).sum())
        found = list(differing(ours, theirs))
        seen = latents(pair.reference, x) if found else []
        for segment, k, t in found:
            latent = seen[segment][:, t]
            chosen = theirs[segment][0][0, : k + 1, t]
            other = int(ours[segment][0][0, k, t])
            assert distance_gap(pair.reference, latent, chosen, other) <= NEAR_TIE
        if reference_decodes(name, samples):
            audio, expected = pair.ours.decode(theirs), pair.reference.decode(theirs)
            assert audio.shape == expected.shape
            assert (audio - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert equal >= 0.999 * total


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_code_is_no_near_tie(peers: Peers, name: str) -> None:
    """What the test above calls a near tie, an arbitrary entry is not."""
    pair = peers.pair(name)
    x = signal(pair.ours.channels, 24_000, pair.ours.sample_rate)[None]
    theirs = pair.reference.encode(x)
    latent = latents(pair.reference, x)[0]
    wrong = [((codes + 1) % 1024, scale) for codes, scale in theirs]
    found = list(differing(wrong, theirs))
    assert len(found) == latent.shape[1]
    gaps = [
        distance_gap(
            pair.reference, latent[:, t], theirs[0][0][0, : k + 1, t], int(wrong[0][0][0, k, t])
        )
        for _, k, t in found
    ]
    assert sum(gap > NEAR_TIE for gap in gaps) >= 0.95 * len(gaps)
