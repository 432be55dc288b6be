"""What the engine is worth beside the public stack, measured side by side."""

import logging

# peft imports it where it is installed, and it warns of a kernel of its own that nothing here uses.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
