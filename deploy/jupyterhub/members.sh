#!/usr/bin/env bash
# Makes what students' and instructors' own servers run from, or brings it up to date:
# the students' package, as they would install it, without solutions and hidden tests.
# Usage, as root: deploy/jupyterhub/members.sh /opt/courseai-members
set -euo pipefail
members=$1
here=$(cd "$(dirname "$0")" && pwd)
clone=$(cd "$here/../.." && pwd)
umask 022

[ -x "$members/bin/python" ] || "${PYTHON:-python3}" -m venv "$members"
pip=("$members/bin/python" -m pip --quiet)
"${pip[@]}" install --no-deps --require-hashes --requirement "$clone/locks/member.txt"
wheels=$(mktemp --directory)
trap 'rm -rf "$wheels"' EXIT
"${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$wheels" "$clone"
"${pip[@]}" install --no-deps --force-reinstall "$wheels"/*.whl
rm -rf "$members/hub"
mkdir "$members/hub"
cp -r "$here/server.py" "$here/settings" "$members/hub"
