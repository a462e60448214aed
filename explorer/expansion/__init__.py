"""Domain expansion: a generator learns new domains in its dormant directions and keeps what it was.

`python -m explorer expand SOURCE --config domains.toml --out RUN`, or `expand` from Python. Knows no interface.
"""

from explorer.expansion.config import Config, Domain, ExpansionError, read_config
from explorer.expansion.run import expand

__all__ = ["Config", "Domain", "ExpansionError", "expand", "read_config"]
