"""The files of an archive: C sources, descriptions for the runtime, metadata."""
