"""The transport: connections, what surrounds every call, and errors as the client sees them.

It knows nothing of audio, models or queues.
"""
