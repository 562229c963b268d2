"""Pure readers of what other tools leave behind: bytes and paths in, frozen dataclasses out.

To add a kind: write one module here with `read(path, options) -> Reading` (see `reading`), and name it in
`registry.KINDS`. Where `services.imports_write.reading_write` does not do what the kind needs (it writes stations,
camera operation, boxes and species), the kind names a writer of its own; see `services.imports`.
"""
