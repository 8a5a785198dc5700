"""`robo-dialog ready` beside servers that are ready, loading, encrypted, or not there."""

from __future__ import annotations

import pytest

from robo_dialog.errors import ConfigError, DetectorError
from robo_server.ready_command import Ready
from robo_server.security import Security
from server_fakes import LONG_S, listening, serving


def test_a_server_that_gives_verdicts_is_ready():
    with serving() as served:
        assert Ready(served.address, timeout=LONG_S).run() == 0


def test_a_server_without_a_model_is_not():
    with listening() as served, pytest.raises(DetectorError, match="gives no verdicts now"):
        Ready(served.address, timeout=LONG_S).run()


def test_nobody_is_not_ready():
    with serving() as served:
        address = served.address
    with pytest.raises(DetectorError, match="does not answer"):
        Ready(address).run()


def test_an_encrypted_server_is_asked_by_its_name_and_needs_no_token(tmp_path):
    certificates = pytest.importorskip("certificates", reason="cryptography makes the certificates")
    authority = certificates.Authority()
    certificate, key = authority.pair("server").write(tmp_path, "server")
    (tmp_path / "root.pem").write_bytes(authority.certificate)
    (tmp_path / "tokens").write_text("robot infer " + "0" * 64 + "\n")
    with serving(Security(certificate, key, None, tmp_path / "tokens")) as served:
        assert Ready(served.address, tls_root=tmp_path / "root.pem", timeout=LONG_S).run() == 0
        with pytest.raises(DetectorError):
            Ready(served.address, tls_root=tmp_path / "root.pem", tls_name="elsewhere").run()


def test_a_certificate_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.pem: cannot be read"):
        Ready(tls_root=tmp_path / "none.pem").run()
