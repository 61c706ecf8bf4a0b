"""Request bodies as they arrive: raw, or multipart/form-data with one part `file`."""

from .body import Limits, Upload, open_upload, require_multipart

__all__ = ["Limits", "Upload", "open_upload", "require_multipart"]
