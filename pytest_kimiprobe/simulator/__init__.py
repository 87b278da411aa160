"""Local server that speaks the providers' wire formats. Each endpoint behaves as its persona says.

The server is used to test `routing` and shares no code with it. It is written from the protocols.

    with Simulator(load_scenario("mixed")) as simulator:
        os.environ.update(simulator.environment())
"""

from .scenario import PERSONAS, Persona, Scenario, ScenarioError, load_scenario, persona_of, scenario_names
from .server.app import Received
from .server.server import Simulator, listen_problem, serve_forever

__all__ = [
    "PERSONAS",
    "Persona",
    "Received",
    "Scenario",
    "ScenarioError",
    "Simulator",
    "listen_problem",
    "load_scenario",
    "persona_of",
    "scenario_names",
    "serve_forever",
]
