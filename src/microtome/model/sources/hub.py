"""Models by hub id: from the local hub cache, or the network where there is one."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from microtome.core.errors import ModelNotFound
from microtome.core.progress import working
from microtome.model.sources.quiet import quiet

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
NEEDED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
IN_SUBFOLDERS = ["*/*"]  # other formats of the same weights, often several times their size


def is_hub_id(source: str) -> bool:
    """Whether it is written like `org/name`."""
    return HUB_ID.fullmatch(source) is not None


def from_hub(name: str) -> Path:
    """The local folder of a hub model, downloading what is not there yet.

    Raises:
        ModelNotFound: no network and nothing cached, no such model, or it asks for a login.
    """
    try:
        with quiet(), working(f"getting {name} from the hub"):
            folder = Path(snapshot_download(name, allow_patterns=NEEDED, ignore_patterns=IN_SUBFOLDERS))
            if not any(folder.glob("*.safetensors")):
                snapshot_download(name, allow_patterns=["*.bin"], ignore_patterns=IN_SUBFOLDERS)
    except LocalEntryNotFoundError as error:
        raise _unreachable(
            name, "no folder of that name, nothing in the local hub cache, and no way to the hub"
        ) from error
    except GatedRepoError as error:
        raise ModelNotFound(
            f"open the model {name!r}",
            found="the hub gives it only to those who have accepted its terms",
            do=f"accept them at https://huggingface.co/{name}, then run `hf auth login`",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelNotFound(
            f"open the model {name!r}",
            found="neither a folder here nor a model on the hub",
            do="check the spelling; `microtome list model` shows the short names",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise _unreachable(name, f"the hub did not deliver it ({str(error).splitlines()[0][:200]})") from error
    return folder


def _unreachable(name: str, found: str) -> ModelNotFound:
    return ModelNotFound(
        f"open the model {name!r}",
        found=found,
        do="connect, or give a local folder, a .gguf file, or a name that `microtome list model` shows",
    )
