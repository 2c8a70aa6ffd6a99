"""The reference agent: a media buyer on Meta's ad platforms."""
