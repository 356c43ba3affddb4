#!/bin/sh
# What bench/peers/torch_peer.py needs on Debian or Ubuntu: PyTorch for /usr/bin/python3, and OpenBLAS's OpenMP build.
# Does nothing when both are there. Without root, the OpenMP build alone is unpacked in bench/peers/libraries.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache="$here/peers/libraries/openblas-openmp"

have_torch() { /usr/bin/python3 -c "import torch" 2>/dev/null; }
have_openmp() { ls /usr/lib/*/openblas-openmp/libblas.so.3 "$cache"/usr/lib/*/openblas-openmp/libblas.so.3 2>/dev/null | grep -q .; }

missing=
have_torch || missing="$missing python3-torch"
have_openmp || missing="$missing libopenblas0-openmp"
if [ -z "$missing" ]; then
  echo "nothing to do: PyTorch $(/usr/bin/python3 -c 'import torch; print(torch.__version__)') and OpenBLAS's OpenMP build are installed"
  exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=sudo; else as_root=none; fi
fi
if [ "$as_root" = none ]; then
  if ! have_openmp; then
    echo "not root: unpacking libopenblas0-openmp into $cache"
    mkdir -p "$cache"
    (cd "$cache" && apt-get download libopenblas0-openmp && dpkg -x libopenblas0-openmp_*.deb . && rm libopenblas0-openmp_*.deb)
  fi
  have_torch || { echo "PyTorch is missing; as root: apt-get install --no-install-recommends python3-torch" >&2; exit 1; }
  exit 0
fi

echo "installing with apt-get:$missing"
# The packages are few, and their libraries go beside the default OpenBLAS: the system's choice of BLAS does not change
# when another build is already chosen, and the peer finds the OpenMP build by its folder.
$as_root apt-get update
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
echo "installed; system BLAS: $(readlink -f /etc/alternatives/libblas.so.3-* 2>/dev/null | head -1)"
