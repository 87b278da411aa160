"""The simulated model: deterministic, without memory of any case, good at obvious tasks.

`answer(prompt)` decides which offered tools the last user message asks for, fills their arguments from the text, and
answers in words where no tool fits or where the results are in. It knows no provider and no wire format.
"""

from .brain import answer

__all__ = ["answer"]
