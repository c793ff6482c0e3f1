# Debian's libraries, and the SDKs inside installed wheels. Nothing is downloaded here: scripts/setup did that.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SNDFILE REQUIRED IMPORTED_TARGET sndfile)
pkg_check_modules(SOXR REQUIRED IMPORTED_TARGET soxr)
pkg_check_modules(LIBAV REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswresample)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)

# The Python whose site-packages hold the engines' wheels.
set(WHIMBREL_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "Python that has onnxruntime and openvino")
if(NOT EXISTS "${WHIMBREL_PYTHON}")
  message(FATAL_ERROR "no Python at ${WHIMBREL_PYTHON}: run scripts/setup, or configure with -DWHIMBREL_PYTHON=<python>")
endif()
execute_process(COMMAND ${WHIMBREL_PYTHON} -c "import sysconfig; print(sysconfig.get_path('purelib'))"
  OUTPUT_VARIABLE WHIMBREL_SITE_PACKAGES OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

set(ONNXRUNTIME_ROOT "${PROJECT_SOURCE_DIR}/.deps/onnxruntime" CACHE PATH "Folder with include/onnxruntime_c_api.h")
find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h PATHS ${ONNXRUNTIME_ROOT}/include ${ONNXRUNTIME_ROOT}/include/onnxruntime
  NO_DEFAULT_PATH)
file(GLOB ONNXRUNTIME_LIBRARY ${ONNXRUNTIME_ROOT}/lib/libonnxruntime.so.*.*.*
  ${WHIMBREL_SITE_PACKAGES}/onnxruntime/capi/libonnxruntime.so.*.*.*)
if(NOT ONNXRUNTIME_INCLUDE_DIR)
  message(FATAL_ERROR "no onnxruntime_c_api.h under ${ONNXRUNTIME_ROOT}: run scripts/setup, or configure with -DONNXRUNTIME_ROOT=<release archive>")
endif()

set(OpenVINO_DIR "${WHIMBREL_SITE_PACKAGES}/openvino/cmake" CACHE PATH "Folder of OpenVINOConfig.cmake")
find_package(OpenVINO QUIET COMPONENTS Runtime ONNX TensorFlowLite)
