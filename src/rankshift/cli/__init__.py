"""The command line: each verb is one call into the library."""
