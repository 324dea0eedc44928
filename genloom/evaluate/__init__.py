"""How good a model is: bits per byte with an interval, variety of what it writes, and one model beside another."""
