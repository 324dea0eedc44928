"""What the studio sends of an output carries its signature: in the file, or at the address that the answer names."""

from collections.abc import Callable
from typing import Any

import pytest

from genloom.trust import manifests, signing
from genloom.trust.manifests import Manifest

Open = Callable[..., Any]


def read(studio: Any, data: bytes, suffix: str, sidecar: bytes | None = None) -> Manifest:
    manifest = manifests.read_bytes(data, suffix, signing.read_anchors(studio.workspace.folder), sidecar)
    assert manifest is not None
    assert (manifest.state, manifest.authority) == ("unchanged", "workspace")
    return manifest


def test_pictures_carry_their_signature_in_every_format(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        (id,) = studio.run(client, "generate", model="icons", prompt="a red boat")["outputs"]
        stored = studio.workspace.output(id).path.read_bytes()
        output = client.get(f"/api/outputs/{id}").json()
        for address, suffix in ((output["url"], ".png"), (output["shown"], ".png"), (output["thumbnail"], ".webp")):
            answer = client.get(address)
            assert read(studio, answer.content, suffix).facts["output"] == id
            assert "link" not in answer.headers
        for suffix in output["formats"]:
            answer = client.get(f"{output['url']}?format={suffix[1:]}")
            if manifests.can_embed(suffix):
                read(studio, answer.content, suffix)
            else:
                address = answer.headers["link"].partition(">")[0][1:]
                read(studio, answer.content, suffix, client.get(address).content)
        assert studio.workspace.output(id).path.read_bytes() == stored
        whole = client.get(output["url"]).content
        part = client.get(output["url"], headers={"range": "bytes=10-99"})
        assert part.content == whole[10:100]  # of the same signature
        assert client.get(f"/api/outputs/{id}/manifest").status_code == 404  # it is in the file
        client.delete(f"/api/outputs/{id}")
        read(studio, client.get(output["url"]).content, ".png")  # also from the bin


@pytest.mark.parametrize("is_removed", [False, True])
def test_the_manifest_of_a_text_is_at_the_address_that_its_answer_names(open_shared: Open, is_removed: bool) -> None:
    with open_shared() as (studio, client):
        (id,) = studio.run(client, "generate", model="tunes", prompt="once")["outputs"]
        if is_removed:
            client.delete(f"/api/outputs/{id}")
        answer = client.get(f"/api/outputs/{id}/file")
        address, _, kind = answer.headers["link"].partition(">")
        assert 'rel="c2pa-manifest"' in kind
        sidecar = client.get(address[1:])
        assert sidecar.headers["content-type"] == "application/c2pa"
        assert read(studio, answer.content, ".txt", sidecar.content).facts["output"] == id
        signed = (studio.workspace.folder / "keys" / "signed.txt").read_text()
        assert client.get(address[1:]).content == sidecar.content  # it is signed once
        assert (studio.workspace.folder / "keys" / "signed.txt").read_text() == signed
        assert client.get(f"/api/outputs/{id}/manifest?format=exe").json()["error"]["code"] == "studio.no_such_format"
        assert client.get("/api/outputs/2020-01-01-abcdef/manifest").status_code == 404
