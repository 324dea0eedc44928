"""What people make and keep, one folder or file a medium: opened, saved, shown and checked without torch."""
