"""What surrounds a call in a text: sentences, announcements, quotations, the user's request."""
