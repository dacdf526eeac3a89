"""Settings, validation and run folders: what every stage shares. Imports nothing else of svdam."""
