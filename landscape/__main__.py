"""`python -m landscape` is the command `landscape`."""

from landscape_cli.main import main  # pyright: ignore[reportMissingImports]

main()
