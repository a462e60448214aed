"""`python app.py`: the app; what it does is in `explorer/app.py`. A Hugging Face Space starts this file."""

import sys

from explorer.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
