"""Certificates made for a test by openssl."""

import subprocess
from pathlib import Path


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    """A certificate authority: name.key and name.crt."""
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl(folder, *new, *usage, "-keyout", f"{name}.key", "-out", f"{name}.crt")


def certificate(folder: Path, name: str, *, address: str, signer: str = "ca") -> None:
    """A certificate for an address, signed by an authority: name.key and name.crt."""
    (folder / f"{name}.ext").write_text(f"subjectAltName={address}\n", encoding="utf-8")
    identity(folder, name, subject=f"/CN={name}", signer=signer, more=("-extfile", f"{name}.ext"))


def identity(
    folder: Path, name: str, *, subject: str, signer: str = "ca", days: int = 2, more: tuple[str, ...] = ()
) -> None:
    """A certificate that says who somebody is: name.key and name.crt; one of -1 days has expired."""
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject]
    openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    sign = ["x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.crt", "-CAkey", f"{signer}.key"]
    openssl(folder, *sign, "-CAcreateserial", "-days", str(days), *more, "-out", f"{name}.crt")
    (folder / f"{name}.key").chmod(0o644)  # Mosquitto, started by root, reads it as its own user


def open_to_all(folder: Path) -> Path:
    """The folder, now readable by Mosquitto's own user."""
    for one in (folder, *folder.parents[:3]):
        one.chmod(one.stat().st_mode | 0o111)
    return folder
