#!/usr/bin/env bash
# Makes the whole file system of the server's image in a folder:
#
#   deploy/image/server-root.sh ROOT [cpu|gpu] [WHEELS]
#
# Debian's Python and the libraries that it is linked with, the packages of server.txt, ONNX Runtime, OpenCV (from the
# folder WHEELS, if there is one: see opencv.sh) and robo-dialog. No shell, no package manager, no torch. Needs Debian
# with apt-get, and a python3 of the same version with pip; the Dockerfile and the tests call it alike.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=${1:?usage: deploy/image/server-root.sh ROOT [cpu|gpu] [WHEELS]}
runtime=${2:-cpu}
wheels=${3:-}
python=${PYTHON:-python3}
version=3.11 # of Debian 12

debian=(
  base-files libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libssl3 libbz2-1.0 liblzma5 libuuid1 libcrypt1
  "libpython$version-minimal" "libpython$version-stdlib" "python$version-minimal"
)
case $runtime in
cpu) onnxruntime=onnxruntime ;;
gpu) onnxruntime="onnxruntime-gpu" ;;
*) echo "server-root: runtime is $runtime, expected cpu or gpu" >&2 && exit 2 ;;
esac
[ ! -e "$root" ] || { echo "server-root: $root exists; name a new folder" >&2 && exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unpack_debian() {
  mkdir -p "$work/debs" "$root"
  (cd "$work/debs" && apt-get download -qq -o APT::Sandbox::User=root "${debian[@]}")
  local package
  for package in "$work"/debs/*.deb; do dpkg-deb --extract "$package" "$root"; done
  ldconfig -r "$root"
}

install_packages() {
  local site="$root/usr/local/lib/python$version/dist-packages" list="$work/list"
  sed '/^#/d' deploy/image/server.txt >"$list"
  echo "$onnxruntime" >>"$list"
  [ -n "$wheels" ] || echo opencv-python-headless >>"$list"
  "$python" -m pip install --quiet --root-user-action ignore --no-compile --no-deps --target "$site" -c constraints.txt -r "$list"
  mkdir "$work/source" # setuptools writes beside what it builds
  cp -r pyproject.toml README.md LICENSE robo_dialog episodes server "$work/source"
  "$python" -m pip install --quiet --root-user-action ignore --no-compile --no-deps --target "$site" "$work/source" ${wheels:+"$wheels"/opencv*.whl}
  rm -rf "${site:?}/bin" "$site/robo_dialog/models/tiny"
  mkdir -p "$root/usr/local/bin"
  printf '#!/usr/bin/python%s\nfrom robo_dialog.cli import main\n\nmain()\n' "$version" >"$root/usr/local/bin/robo-dialog"
  chmod 755 "$root/usr/local/bin/robo-dialog"
}

# What no running server reads.
prune() {
  local site="$root/usr/local/lib/python$version/dist-packages"
  rm -rf "$root"/usr/share/{doc,man,lintian,locale} "$root"/usr/lib/*/gconv "$root"/var/lib/* "$root/usr/bin/pdb"*
  (cd "$root/usr/lib/python$version" && rm -rf ensurepip idlelib lib2to3 pydoc_data tkinter turtle* config-*)
  (cd "$site" && rm -rf onnxruntime/{transformers,quantization,tools,datasets,backend} numpy/{f2py,_core/include,_core/lib})
  if [ "$runtime" = cpu ]; then rm -f "$site"/onnxruntime/capi/libonnxruntime.so.*; fi # a second copy, for C programs
  find "$site" \( -name tests -o -name __pycache__ -o -name sboms \) -type d -prune -exec rm -rf {} +
  if [ -n "$wheels" ]; then strip "$site"/cv2/*.so; fi
  find "$site" \( -name '*.pyi' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) -type f -delete
}

# One user, and folders for what is mounted.
finish() {
  echo 'robo-dialog:x:65532:65532::/nonexistent:/usr/sbin/nologin' >"$root/etc/passwd"
  echo 'robo-dialog:x:65532:' >"$root/etc/group"
  install -d -m 755 "$root"/{proc,sys,dev} "$root/etc/robo-dialog" "$root/var/lib/robo-dialog"
  install -d -m 1777 "$root/tmp"
  # read-only at run time: bytecode is made now, and believed without a look at the source
  "$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" \
    "$root/usr/local/lib" "$root/usr/lib/python$version"
}

"$python" -c "import sys; sys.exit(sys.version_info[:2] != (${version/./, }))" || {
  echo "server-root: $python is not Python $version; name one: PYTHON=..." >&2
  exit 2
}
unpack_debian
install_packages
prune
finish
