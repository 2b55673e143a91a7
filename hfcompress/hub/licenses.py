"""Licenses by the identifiers that the Hub takes, and where their texts are.

https://huggingface.co/docs/hub/repositories-licenses
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from hfcompress.hub.published import is_repo_id
from hfcompress.results import SourceModel

_LISTED = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda
cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0
postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma unknown other
"""
#: A license that is newer than this list is `other` with a name, which the Hub takes for any license.
LICENSES = frozenset(_LISTED.split())


def license_link(model: SourceModel) -> str | None:
    """The address of a model's license; of a file beside its card, that in its repository. None: there is none."""
    link = model.license_link
    if link is None or urlsplit(link).scheme in ("http", "https"):
        return link
    if model.local or not is_repo_id(model.id) or urlsplit(link).scheme or ".." in link.split("/"):
        return None
    path = quote(link.removeprefix("./").lstrip("/"))
    return f"https://huggingface.co/{model.id}/blob/{model.revision or 'main'}/{path}"
