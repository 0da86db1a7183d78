"""The command line: it parses, attaches a subject, asks, and prints."""
