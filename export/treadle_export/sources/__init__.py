"""What `treadle adopt` may be given, and who reads it: files and factories."""
