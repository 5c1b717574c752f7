"""Small cells of real people are not published, nor what gives them away. For whoever writes a number about people."""
