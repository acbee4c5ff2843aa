#!/bin/sh
# Installs Chromium for the browser tests where it is missing and we may (root on Debian);
# elsewhere those tests skip and say why.
set -eu
if command -v chromium >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        chromium fonts-dejavu-core >/dev/null
else
    echo "Chromium is missing and this is not root on Debian: the browser tests will skip." >&2
fi
