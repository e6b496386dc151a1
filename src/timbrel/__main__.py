"""`python -m timbrel` is the command `timbrel`."""

from timbrel.cli import main

if __name__ == "__main__":
    main()
