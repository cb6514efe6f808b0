"""What an opened session runs on, as the session itself says it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from treadle.session import DEVICES, load_engine


@dataclass(frozen=True, slots=True)
class Engine:
    """What really runs, beside `treadle.session.Hardware`, which is what was asked for.

    version: of onnxruntime. provider: its name for what computes. kind, number: the device as
    `Hardware` names them, from 0. threads, spinning, arena,
    denormals: as in `Hardware`.
    """

    version: str
    provider: str
    kind: str
    number: int
    threads: int
    spinning: bool
    arena: bool
    denormals: bool

    @classmethod
    def of(cls, session: Any) -> Engine:
        """What an onnxruntime.InferenceSession runs on."""
        provider = session.get_providers()[0]
        given = session.get_provider_options().get(provider, {})
        options = session.get_session_options()
        return cls(
            version=load_engine().__version__,
            provider=provider,
            kind=next(kind for kind, (name, _) in DEVICES.items() if name == provider),
            number=int(given.get("device_id", 0)),
            threads=options.intra_op_num_threads,
            spinning=options.get_session_config_entry("session.intra_op.allow_spinning") == "1",
            arena=options.enable_cpu_mem_arena,
            denormals=options.get_session_config_entry("session.set_denormal_as_zero") == "0",
        )

    def to_json(self) -> dict[str, Any]:
        """Its fields as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        device = self.kind if self.kind == "cpu" else f"{self.kind}:{self.number}"
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        words = "spinning" if self.spinning else "not spinning"
        arena = "an arena" if self.arena else "no arena"
        denormals = "" if self.denormals else ", no denormals"
        return (
            f"onnxruntime {self.version}, {self.provider} on {device}, {threads}, {words}, {arena}"
            f"{denormals}"
        )
