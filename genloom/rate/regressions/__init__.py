"""What a challenger must not get worse at, whatever its ratings: text in general, refusals, insults, bias."""
