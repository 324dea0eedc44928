"""Media, one folder or file each: values are opened, saved, previewed and checked without torch."""
