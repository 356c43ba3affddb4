#!/usr/bin/env bash
# Installs PyTorch from Debian's packages, with the OpenMP build of OpenBLAS beside it (the one that makes it fastest).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -qq
$sudo apt-get install -y -qq python3-torch libopenblas0-pthread >/dev/null
target="$here/peers/libraries/openblas-openmp"
if [ ! -d "$target" ]; then
  mkdir -p "$target.download"
  (cd "$target.download" && apt-get download -qq libopenblas0-openmp && dpkg -x ./*.deb "$target")
  rm -r "$target.download"
fi
/usr/bin/python3 -c 'import torch; print("PyTorch", torch.__version__)'
