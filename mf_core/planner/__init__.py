"""Planning a run before it starts: a model's shapes, memory and traffic, and which layouts fit a number of devices."""
