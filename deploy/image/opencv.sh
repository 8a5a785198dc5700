#!/usr/bin/env bash
# Builds OpenCV with what verdicts need of it, decoding and resizing pictures, and nothing else:
#
#   deploy/image/opencv.sh WHEELS
#
# The wheels of PyPI bring FFmpeg, OpenBLAS, AVIF and neural networks along: 160 MB, and decoders that a server of
# pictures must never meet. This one is made from the same release, as pinned in constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."

wheels=${1:?usage: deploy/image/opencv.sh WHEELS}
version=$(sed -n 's/^opencv-python-headless==\([^ ]*\).*/\1/p' constraints.txt)

off=(FFMPEG GSTREAMER V4L 1394 LAPACK EIGEN IPP ITT ADE OPENCL PROTOBUF
  AVIF GIF JASPER JPEGXL OPENEXR OPENJPEG TIFF WEBP
  IMGCODEC_HDR IMGCODEC_PFM IMGCODEC_PXM IMGCODEC_SUNRASTER)
export ENABLE_HEADLESS=1 CMAKE_ARGS="-DBUILD_LIST=core,imgproc,imgcodecs,python3 -DBUILD_JPEG=ON -DBUILD_PNG=ON -DBUILD_ZLIB=ON"
CMAKE_ARGS+=$(printf ' -DWITH_%s=OFF' "${off[@]}")
CMAKE_BUILD_PARALLEL_LEVEL=$(nproc)
export CMAKE_BUILD_PARALLEL_LEVEL

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}
"$python" -m pip download --quiet --no-deps --no-binary opencv-python-headless --dest "$work" \
  "opencv-python-headless==$version"
tar -xzf "$work"/opencv*.tar.gz -C "$work"
# its setup.py insists on type stubs, which are not made where modules are missing
sed -i -e 's/\[ r"python\/cv2\/py.typed" \] if .*/[]/' -e 's/^    if sys.version_info >= (3, 6):$/    if False:/' \
  "$work"/opencv*/setup.py
"$python" -m pip wheel --no-deps --wheel-dir "$wheels" "$work"/opencv*/
