"""The version of the library, in one place: packaging tools, files and the command line read it here."""

__version__ = "0.1.0"
