"""The stages: one module per command, from its settings to its finished run folder."""
