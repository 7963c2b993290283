"""Files of data: text, comma-separated, MindRecord, TFRecord and ``.npy``."""
