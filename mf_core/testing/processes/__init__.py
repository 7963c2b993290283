"""Fresh processes, and what they do for the checks."""
