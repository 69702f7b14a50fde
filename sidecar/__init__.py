"""An async sidecar that makes an application's prompts better from what its users say."""

__version__ = "0.1.0"
