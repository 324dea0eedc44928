"""The option of a cluster to work on."""

from typing import Annotated

from cyclopts import Parameter

ClusterAddress = Annotated[str, Parameter(help="Cluster to work on: ray, or ray://HOST:10001. [default: this machine]")]
