"""The command line."""

from scsalient.cli._app import app

__all__ = ["app"]
