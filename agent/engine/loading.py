"""From a pack on disk to an engine that is loaded, checked and warm."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.sections import EngineSection, InferenceSection
from agent.engine.model import Model
from agent.engine.pack import Pack, read_pack
from agent.engine.stages import ScreeningStage, VerificationStage
from agent.errors import ConfigError, PackError
from agent.inspection.record import EngineFacts


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A pack with its models loaded. Used by one thread at a time.

    Attributes:
        pack: What it was loaded from.
        screening: Stage 1; None in a single-stage pack.
        verification: Stage 2, or the only one.
    """

    pack: Pack
    screening: ScreeningStage | None
    verification: VerificationStage

    @property
    def facts(self) -> EngineFacts:
        """How records name it; two runtimes are joined by a plus."""
        runtimes = [stage.runtime for stage in (self.screening, self.verification) if stage is not None]
        return EngineFacts(self.pack.name, self.pack.digest, "+".join(dict.fromkeys(runtimes)))


def load_engines(sections: Mapping[str, EngineSection], inference: InferenceSection) -> dict[str, Engine]:
    """Load the pack of every engine name.

    Raises:
        ConfigError: A pack holds an engine of another name.
        PackError: A pack cannot be used.
    """
    engines = {}
    for name, section in sections.items():
        engine = load_engine(section.pack, inference)
        if engine.pack.engine != name:
            raise ConfigError(
                f"engines.{name}.pack: {section.pack} holds the engine '{engine.pack.engine}'; "
                f"name the table [engines.{engine.pack.engine}]"
            )
        engines[name] = engine
    return engines


def load_engine(folder: Path, inference: InferenceSection) -> Engine:
    """Read a pack and load its models on the backends that the settings choose.

    Raises:
        PackError: The pack cannot be used; the message begins with its folder or file.
    """
    pack = read_pack(folder)
    table, rules = pack.manifest, pack.rules
    try:
        screening = None
        if table.screening is not None:
            model = _model(folder / table.screening.file, inference.screening_backend, inference)
            screening = ScreeningStage(table.screening, model)
        model = _model(folder / table.verification.file, inference.verification_backend, inference)
        return Engine(pack, screening, VerificationStage(table.verification, model, rules))
    except PackError as error:
        raise PackError(f"{pack.folder}: {error}") from None


def _model(path: Path, backend: str, inference: InferenceSection) -> Model:
    """Load one file. ``auto`` is ONNX Runtime on the CPU, the only backend so far."""
    del backend
    # Imported where it is used: it takes a third of a second, and `status` does not need it.
    from agent.engine.onnx import OnnxModel, cpu_threads  # noqa: PLC0415

    return OnnxModel(path, threads=cpu_threads(inference.threads), spinning=inference.spinning)
