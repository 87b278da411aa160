"""Local server that speaks the providers' wire formats, with one persona for each endpoint.

It is written from the protocols and shares no code with `routing`, which it is used to test.

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
