"""The embedded simulator: a local server that speaks the providers' real wire formats, with personas for each endpoint.

Written from the protocols; it shares no code with what it is used to test.

    with Simulator(load_scenario("mixed")) as simulator:
        os.environ.update(simulator.environment())
"""

from .app import Received
from .scenario import PERSONAS, Persona, Scenario, ScenarioError, load_scenario, persona_of, scenario_names
from .server import Simulator, serve_forever

__all__ = [
    "PERSONAS",
    "Persona",
    "Received",
    "Scenario",
    "ScenarioError",
    "Simulator",
    "load_scenario",
    "persona_of",
    "scenario_names",
    "serve_forever",
]
