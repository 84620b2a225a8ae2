"""What deploy/run and tests/run share: packages are installed only where they are missing, and trouble is one clear line."""

import os
import subprocess

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


@pytest.fixture
def tools(tmp_path):
	"""A folder of commands, to be all that a script finds: those named here, and pretended ones."""
	folder = tmp_path / "tools"
	folder.mkdir()

	def add(name, script=None):
		path = folder / name
		if script is None:
			path.symlink_to(subprocess.check_output(["bash", "-c", f"command -v {name}"], text=True).strip())
		else:
			path.write_text("#!/bin/bash\n" + script)
			path.chmod(0o755)
	for name in ("bash", "tr", "env"):
		add(name)
	add("dpkg-query", "exit 1")
	add.folder = folder
	return add


def install(tools, words):
	return subprocess.run(
		["/bin/bash", "-c", f". deploy/packages.sh; packages_install {words}"], cwd=ROOT, capture_output=True, text=True,
		env={"PATH": str(tools.folder)})


def test_what_is_there_is_not_installed_again(tools):
	tools("dpkg-query", "echo -n installed")
	tools("mytool", "")
	tools("apt-get", "echo apt-get was called >&2; exit 1")
	result = install(tools, "libsomething-dev mypackage=mytool")
	assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_only_what_is_missing_is_installed(tools, tmp_path):
	tools("mytool", "")
	tools("id", "echo 0")
	tools("apt-get", f'echo "$@" >> {tmp_path}/calls')
	assert install(tools, "libsomething-dev mypackage=mytool other=notthere").returncode == 0
	calls = (tmp_path / "calls").read_text().splitlines()
	assert calls[0].startswith("update")
	assert calls[1].startswith("install") and calls[1].endswith(" libsomething-dev other")


def test_who_is_not_root_is_served_by_sudo(tools, tmp_path):
	tools("id", "echo 1000")
	tools("sudo", f'echo sudo >> {tmp_path}/calls; exec "$@"')
	tools("apt-get", f'echo "$@" >> {tmp_path}/calls')
	assert install(tools, "libsomething-dev").returncode == 0
	assert [call.split()[0] for call in (tmp_path / "calls").read_text().splitlines()] == ["sudo", "update", "sudo", "install"]


@pytest.mark.parametrize("trouble", ["no apt-get", "no sudo", "no such package"])
def test_what_cannot_be_installed_is_told_in_one_line(tools, trouble):
	tools("id", "echo 0" if trouble != "no sudo" else "echo 1000")
	if trouble != "no apt-get":
		tools("apt-get", "exit 100")
	result = install(tools, "libsomething-dev")
	assert result.returncode == 1
	assert len(result.stderr.splitlines()) == 1
	assert "libsomething-dev" in result.stderr
