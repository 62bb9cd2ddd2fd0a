"""Database semantic conventions; only vector databases are retrieval."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_VECTOR = [
    "pinecone",
    "qdrant",
    "chroma",
    "chromadb",
    "weaviate",
    "milvus",
    "lancedb",
    "marqo",
    "astra",
    "turbopuffer",
    "vespa",
    "azure.ai.search",
    "opensearch",
    "elasticsearch",
]

DIALECT = Dialect(
    name="database",
    title="Database semantic conventions (vector databases)",
    signature=("db.system.name", "db.system"),
    fields={
        "provider": ("db.system.name", "db.system"),
        "store": ("db.system.name", "db.system"),
        "store_operation": ("db.operation.name", "db.operation"),
        "operation": ("db.operation.name", "db.operation"),
        "target": ("db.collection.name", "db.namespace", "db.name"),
        "units": ("azure.cosmosdb.operation.request_charge", "db.cosmosdb.request_charge"),
    },
    kinds={
        "db.system.name": dict.fromkeys(_VECTOR, Kind.RETRIEVAL),
        "db.system": dict.fromkeys(_VECTOR, Kind.RETRIEVAL),
    },
)
