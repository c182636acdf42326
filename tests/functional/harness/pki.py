# SPDX-License-Identifier: MIT
"""Certificates of the tests, made by openssl once per run: files of PEM in one directory."""
import base64
import hashlib
import os
import subprocess


def _openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True, capture_output=True).stdout


class Pki:
    def __init__(self, directory):
        self.directory = directory
        self.made = {}

    def path(self, name):
        return os.path.join(self.directory, name)

    def pair(self, name, names="DNS:localhost,IP:127.0.0.1,IP:::1", days=30, kind="ec", ca=False):
        """A self-signed pair: (certificate file, key file). Negative days: expired."""
        key = (name, names, days, kind, ca)
        if key not in self.made:
            cert_file, key_file = self.path(name + ".crt.pem"), self.path(name + ".key.pem")
            new_key = (["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec"
                       else ["rsa:2048"])
            config = self.path(name + ".cnf")
            with open(config, "w") as f:
                f.write("[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n"
                        f"[dn]\nCN={name}\n[ext]\nsubjectAltName={names}\n"
                        f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\n")
            _openssl("req", "-new", "-newkey", *new_key, "-nodes", "-config", config,
                     "-keyout", key_file, "-out", self.path(name + ".csr"))
            when = ["-days", str(days)]
            _openssl("x509", "-req", "-in", self.path(name + ".csr"), "-signkey", key_file,
                     "-extfile", config, "-extensions", "ext", "-out", cert_file, *when)
            os.chmod(key_file, 0o600)
            self.made[key] = (cert_file, key_file)
        return self.made[key]

    def expired(self, name):
        """A pair that was valid for a day in 2020 (only openssl ca takes a start date)."""
        if name not in self.made:
            cert_file, key_file = self.path(name + ".crt.pem"), self.path(name + ".key.pem")
            database = self.path(name + ".index")
            open(database, "w").close()
            config = self.path(name + ".cnf")
            with open(config, "w") as f:
                f.write("[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=" + name + "\n"
                        "[ext]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
                        "basicConstraints=critical,CA:FALSE\n"
                        f"[ca]\ndefault_ca=own\n[own]\ndatabase={database}\n"
                        f"new_certs_dir={self.directory}\nrand_serial=yes\ndefault_md=sha256\n"
                        "policy=any\n[any]\ncommonName=supplied\n")
            csr = self.path(name + ".csr")
            _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                     "-nodes", "-config", config, "-keyout", key_file, "-out", csr)
            _openssl("ca", "-batch", "-selfsign", "-config", config, "-extensions", "ext",
                     "-keyfile", key_file, "-in", csr, "-out", cert_file, "-notext",
                     "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
            os.chmod(key_file, 0o600)
            self.made[name] = (cert_file, key_file)
        return self.made[name]

    def pin(self, cert_file):
        """sha256/BASE64 of the certificate's public key."""
        public = _openssl("x509", "-in", cert_file, "-noout", "-pubkey")
        der = _openssl("pkey", "-pubin", "-outform", "DER", data=public)
        return "sha256/" + base64.b64encode(hashlib.sha256(der).digest()).decode()
