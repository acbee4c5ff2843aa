#!/bin/sh
# Installs what the tests want of the system, where it is missing and we may (root on Debian):
# Chromium for the browser tests, PostgreSQL for the store. Elsewhere those tests skip and say why.
set -eu
missing=
command -v chromium >/dev/null 2>&1 || missing="chromium fonts-dejavu-core"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 ||
    missing="$missing postgresql"
if [ -z "$missing" ]; then exit 0; fi
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing >/dev/null
else
    echo "Missing and not installed, since this is not root on Debian: $missing." >&2
    echo "The tests that need them will skip." >&2
fi
