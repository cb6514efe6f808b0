"""How fast is one step beside other engines on the same weights, and how right is it?"""
