"""`python -m hfcompress`."""

from hfcompress.cli import main

if __name__ == "__main__":
    main()
