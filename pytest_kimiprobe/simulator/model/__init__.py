"""The simulated model: deterministic, without memory of any case, good at obvious tasks.

`answer(prompt)` decides which offered tools the last user message asks for, and fills their arguments from the text. It
answers in words if no tool fits or if the results are there. It knows no provider and no wire format.
"""

from .brain import answer

__all__ = ["answer"]
