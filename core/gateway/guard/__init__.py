"""What is done to an answer on its way out: announcements cut, JSON checked, calls read."""
