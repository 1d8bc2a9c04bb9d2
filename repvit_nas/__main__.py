"""Run the command line with `python -m repvit_nas`."""

from repvit_nas.commands import main

if __name__ == "__main__":
    main()
