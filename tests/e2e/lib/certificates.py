"""A certificate authority in a folder, made with the openssl command."""

import base64
import hashlib
import os
import ssl
import subprocess


def openssl(*arguments, cwd=None, input=None):
	return subprocess.run(
		["openssl", *map(str, arguments)], cwd=cwd, input=input, check=True, capture_output=True, timeout=30).stdout


class Authority:
	def __init__(self, folder, name="Test CA"):
		self.folder = str(folder)
		os.makedirs(self.folder, exist_ok=True)
		self.file = self.path("ca.pem")
		openssl(
			"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30, "-subj", f"/CN={name}",
			"-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.path("ca.key"), "-out", self.file)

	def path(self, name):
		return os.path.join(self.folder, name)

	def issue(self, name, *alt_names, rsa=False, days=30):
		"""Makes NAME.pem and NAME.key, and NAME.both.pem with both. Returns the path without ".pem"."""
		base = self.path(name)
		kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
		openssl("req", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
		with open(base + ".ext", "w") as f:
			f.write("basicConstraints=CA:FALSE\n")
			if alt_names:
				f.write(f"subjectAltName={','.join(alt_names)}\n")
		openssl(
			"x509", "-req", "-in", base + ".csr", "-CA", self.file, "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", days,
			"-extfile", base + ".ext", "-out", base + ".pem")
		with open(base + ".both.pem", "w") as both:
			for part in (".pem", ".key"):
				with open(base + part) as f:
					both.write(f.read())
		return base

	def answer_ocsp(self, name):
		"""Makes NAME.pem.ocsp, which says that the certificate is good."""
		serial = openssl("x509", "-in", self.path(name + ".pem"), "-noout", "-serial").decode().strip().split("=")[1]
		with open(self.path("index.txt"), "w") as f:
			f.write(f"V\t391231235959Z\t\t{serial}\tunknown\t/CN={name}\n")
		openssl(
			"ocsp", "-index", "index.txt", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem", "-issuer", "ca.pem",
			"-serial", f"0x{serial}", "-ndays", 3, "-respout", name + ".pem.ocsp", cwd=self.folder)

	def context(self, certificate=None):
		"""An SSLContext of a client that trusts this authority; with a certificate of its own, if given (issue())."""
		context = ssl.create_default_context(cafile=self.file)
		if certificate:
			context.load_cert_chain(certificate + ".pem", certificate + ".key")
		return context


def spki_hash(certificate):
	"""How Chromium names a public key that it is to trust."""
	key = openssl("x509", "-in", certificate + ".pem", "-noout", "-pubkey")
	return base64.b64encode(hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", input=key)).digest()).decode()
