"""The engine: a process of its own that holds the models in use and generates for all requests."""

from genloom.server.engine.client import Engine as Engine
from genloom.server.engine.client import EngineBusy as EngineBusy
from genloom.server.engine.client import EngineDied as EngineDied
from genloom.server.engine.messages import EngineEvent as EngineEvent
from genloom.server.engine.messages import Finished as Finished
from genloom.server.engine.messages import GenerationRequest as GenerationRequest
from genloom.server.engine.messages import Preview as Preview
from genloom.server.engine.messages import Progress as Progress
from genloom.server.engine.messages import Started as Started
from genloom.server.engine.messages import Stored as Stored
from genloom.server.engine.messages import Text as Text
from genloom.server.engine.messages import TokenLogprob as TokenLogprob
