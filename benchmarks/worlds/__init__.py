"""Small worlds of other people's kinds, whose best policy is known: does an algorithm work away from home?"""
