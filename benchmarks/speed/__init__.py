"""How fast things are and how much memory they take, side by side. Its timing serves studies, too."""
