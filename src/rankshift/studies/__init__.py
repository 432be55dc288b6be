"""The studies that ship with the package; each is one TOML file."""
