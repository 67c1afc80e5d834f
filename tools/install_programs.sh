#!/bin/sh
# Brings the programs that the tests need beside Python, git and make: as root on Debian
# and Ubuntu from their packages, and a browser from Playwright where there is none. What
# is missing then is a failure in CI; elsewhere the tests say what they could not do.
set -u
cd "$(dirname "$0")/.."

has() {
    for program; do command -v "$program" >/dev/null && return; done
    return 1
}

# On Ubuntu "chromium-browser" may be there and only say how to install it.
has_browser() {
    own=${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}
    for program in chromium chromium-browser google-chrome "$own"/chromium-*/*/chrome; do
        "$program" --version && return
    done
} >/dev/null 2>&1

# The packages of what is missing. Debian splits the first off from Python.
list_missing() {
    python3 -c "import ensurepip, venv" 2>/dev/null || echo python3-venv
    has make || echo make
    has git || echo git
    has openssl || echo openssl
    has npm || echo nodejs npm
    has useradd || echo passwd
    has_browser || echo chromium
}

install() {
    for package; do
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes "$package"
    done
}

if [ "$(id -u)" = 0 ] && has apt-get && [ -n "$(list_missing)" ]; then
    apt-get -qq update && install $(list_missing)
fi
# On Ubuntu the package is a snap, which servers and containers can't run.
if ! has_browser && [ -x .venv/bin/playwright ]; then
    dependencies=
    [ "$(id -u)" = 0 ] && has apt-get && dependencies=--with-deps
    # It tries several servers several times: without a network, not for minutes.
    PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT=5000 \
        .venv/bin/playwright install --no-shell $dependencies chromium
fi
missing=$(list_missing)
[ -x .venv/bin/playwright ] || missing=$(echo "$missing" | grep -vx chromium)  # later
if [ -n "${CI:-}" ] && [ -n "$missing" ]; then
    echo "Missing, and could not be installed:" $missing >&2
    exit 1
fi
