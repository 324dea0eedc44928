"""Tools of a chat: functions that a model may ask for, run only with the person's consent, within limits."""
