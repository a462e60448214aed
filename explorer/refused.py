"""`Refused`: what a user can cause and mend. Its message is one sentence on what was expected and what to do.

Every error of the program that is meant for a user is one of these; any other exception is a fault of ours and keeps
its traceback. Knows nothing.
"""


class Refused(ValueError):
    """A request that cannot be carried out; nothing was changed. The message is for the user."""
